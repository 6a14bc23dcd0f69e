"""Long prompts are tokenized on threads, in calls that release the GIL, and with a permit."""

import asyncio
import json
import threading

import pytest

from hfgen.server.http.prompt_tokenizer import PromptTokenizer

SHORT, LONG = "é, fox 🦊", "é, fox 🦊" * 2_000


class HeldTokenizer:
    """A tokenizer whose calls for batches wait for `opened`. `calls` has (method, thread)."""

    def __init__(self, tokenizer):
        self.calls = []
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        self._tokenizer = tokenizer

    def encode(self, text):
        self.calls.append(("encode", threading.get_ident()))
        return self._tokenizer.encode(text)

    def encode_batch(self, texts):
        return self._wait("encode_batch", texts)

    def encode_batch_fast(self, texts):
        return self._wait("encode_batch_fast", texts)

    def _wait(self, name, texts):
        self.calls.append((name, threading.get_ident()))
        self.entered.release()
        assert self.opened.wait(30)
        return getattr(self._tokenizer, name)(texts)


@pytest.fixture
def held(byte_tokenizer):
    tokenizer = HeldTokenizer(byte_tokenizer)
    yield tokenizer
    tokenizer.opened.set()


@pytest.mark.parametrize("text", [SHORT, LONG])
async def test_a_text_has_the_same_tokens_whatever_its_length(byte_tokenizer, text):
    prompts = PromptTokenizer(byte_tokenizer)
    encoding = byte_tokenizer.encode(text)
    assert await prompts.encode(text) == encoding.ids
    tokens = json.loads(bytes(await prompts.tokenize(text)))
    assert [token["id"] for token in tokens] == encoding.ids
    assert [token["text"] for token in tokens] == [text[a:b] for a, b in encoding.offsets]
    prompts.close()


async def test_only_long_texts_go_to_a_thread(held):
    held.opened.set()
    prompts = PromptTokenizer(held)
    for text in (SHORT, LONG):
        await prompts.encode(text)
        await prompts.tokenize(text)
    names = [name for name, _ in held.calls]
    assert names == ["encode", "encode", "encode_batch_fast", "encode_batch"]
    here = threading.get_ident()
    assert [thread == here for _, thread in held.calls] == [True, True, False, False]
    prompts.close()


@pytest.mark.parametrize(
    ("route", "payload"),
    [
        ("/generate", {"inputs": LONG}),
        ("/tokenize", {"inputs": LONG}),
        ("/v1/completions", {"prompt": LONG}),
    ],
)
async def test_others_are_answered_while_a_long_prompt_is_tokenized(
    scripted_server, http, held, route, payload
):
    server, _ = scripted_server(tokenizer=held)
    task = asyncio.create_task(http.post(server.url + route, json=payload))
    assert await asyncio.to_thread(held.entered.acquire, timeout=30)
    async with http.get(f"{server.url}/info") as response:
        assert response.status == 200
    async with http.post(f"{server.url}/tokenize", json={"inputs": SHORT}) as response:
        assert response.status == 200
    held.opened.set()
    (await task).close()


async def test_no_more_than_two_are_tokenized_at_the_same_time(scripted_server, http, held):
    server, _ = scripted_server(tokenizer=held)
    payload = {"inputs": LONG}
    tasks = [
        asyncio.create_task(http.post(f"{server.url}/tokenize", json=payload)) for _ in range(4)
    ]
    for _ in range(2):
        assert await asyncio.to_thread(held.entered.acquire, timeout=30)
    await asyncio.sleep(0.05)
    assert len(held.calls) == 2
    held.opened.set()
    for task in tasks:
        async with await task as response:
            assert response.status == 200
    assert len(held.calls) == 4


async def test_tokenizing_takes_a_permit(scripted_server, http, held):
    server, _ = scripted_server(tokenizer=held, max_concurrent_requests=1)
    task = asyncio.create_task(http.post(f"{server.url}/tokenize", json={"inputs": LONG}))
    assert await asyncio.to_thread(held.entered.acquire, timeout=30)
    for text in (SHORT, LONG):
        async with http.post(f"{server.url}/tokenize", json={"inputs": text}) as response:
            assert response.status == 429
            assert (await response.json())["error_type"] == "overloaded"
    held.opened.set()
    (await task).close()
    async with http.post(f"{server.url}/tokenize", json={"inputs": SHORT}) as response:
        assert response.status == 200


async def test_the_threads_end_with_the_server(scripted_server, http):
    def find_threads():
        return {t for t in threading.enumerate() if t.name.startswith("hfgen-tokenizer")}

    before = find_threads()
    server, _ = scripted_server()
    async with http.post(f"{server.url}/tokenize", json={"inputs": LONG}) as response:
        assert response.status == 200
    assert find_threads() - before
    await asyncio.to_thread(server.stop)
    assert not find_threads() - before
