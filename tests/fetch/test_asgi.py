"""`from_asgi`: what the application is given, and what becomes of it."""

import asyncio
import gc

import pytest

import hfgen
from helpers.scripted_answers import token
from hfgen.fetch import _asgi, from_asgi
from hfgen.testing import event

URL = "http://app.invalid:8080/a%2Fb?c=d%20e"
START = {"type": "http.response.start", "status": 200,
         "headers": [(b"Content-Type", b"text/event-stream")]}  # fmt: skip


@pytest.fixture(autouse=True)
def what_leaks_shows_here():
    """A leak fails the test that leaked, not the one that happens to run later."""
    yield
    gc.collect()
    assert not [task for task in _asgi._tasks if not task.done()]


def body(piece=b"", *, more=False):
    return {"type": "http.response.body", "body": piece, "more_body": more}


def client(app, **options):
    return hfgen.AsyncClient(fetch=from_asgi(app), api_url=URL, dialect="tgi", **options)


async def test_what_the_application_is_given():
    seen = []

    async def app(scope, receive, send):
        seen.extend([scope, await receive()])
        await send({"type": "http.response.start", "status": 200})
        await send(body(b'{"generated_text": "a"}'))
        seen.append(await receive())

    await client(app).run("x", api_key="hf_key")
    scope, request, later = seen
    assert scope["type"] == "http"
    assert (scope["method"], scope["scheme"]) == ("POST", "http")
    assert (scope["path"], scope["raw_path"]) == ("/a/b", b"/a%2Fb")
    assert scope["query_string"] == b"c=d%20e"
    assert scope["server"] == ("app.invalid", 8080)
    headers = dict(scope["headers"])
    assert headers[b"host"] == b"app.invalid:8080"
    assert headers[b"authorization"] == b"Bearer hf_key"
    assert headers[b"content-length"] == str(len(request["body"])).encode()
    content = b'{"inputs":"x","parameters":{"do_sample":false},"stream":false}'
    assert request == {"type": "http.request", "body": content, "more_body": False}
    assert later == {"type": "http.disconnect"}


async def test_pieces_come_one_by_one():
    sent = []

    async def app(scope, receive, send):
        await send(START)
        for text in "abcdef":
            await send(body(event(token(text)), more=True))
            sent.append(text)
        await send(body(event(token("g", last="abcdefg"))))

    stream = await client(app).stream_tokens("x")
    assert await anext(stream) == "a"
    await asyncio.sleep(0.05)
    # It is no more than what the reader has not taken yet.
    assert len(sent) <= 3
    assert [text async for text in stream] == list("bcdefg")


@pytest.mark.parametrize("waits_in", ["receive", "send", "sleep"])
async def test_leaving_ends_the_application(waits_in, monkeypatch):
    monkeypatch.setattr(_asgi, "_GRACE", 0.1)
    told = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send(body(event(token("a")), more=True))
        try:
            if waits_in == "receive":
                told.append((await receive())["type"])
            elif waits_in == "send":
                while True:
                    await send(body(event(token("b")), more=True))
            else:
                await asyncio.sleep(60)
        except BaseException as error:
            told.append(type(error).__name__)
            raise

    async with await client(app).stream_tokens("x") as stream:
        assert await anext(stream) == "a"
    assert told == {
        "receive": ["http.disconnect"],
        "send": ["ConnectionResetError"],
        "sleep": ["CancelledError"],
    }[waits_in]  # fmt: skip


async def test_work_after_the_answer_goes_on():
    done = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send(body(b'{"generated_text": "a"}'))
        await asyncio.sleep(0.1)
        done.set()

    await client(app).run("x")
    assert not done.is_set()
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0)


async def test_a_failure_after_the_answer_is_logged(caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send(body(b'{"generated_text": "a"}'))
        raise ValueError("too late")

    await client(app).run("x")
    await asyncio.sleep(0)
    assert "too late" in caplog.text


@pytest.mark.parametrize(
    "error", [ValueError("boom"), OSError("boom"), TimeoutError("boom"), StopIteration("boom")]
)
@pytest.mark.parametrize("verb", ["run", "stream_tokens"])
async def test_what_it_raises_first_is_raised_at_once(error, verb):
    calls = []

    async def app(scope, receive, send):
        calls.append(1)
        raise error

    with pytest.raises(hfgen.HfgenError, match=r"raised .* before it had begun") as caught:
        await getattr(client(app), verb)("x")
    assert type(caught.value) is hfgen.HfgenError
    cause = caught.value.__cause__
    assert error in {cause, cause.__cause__}
    assert len(calls) == 1


async def test_what_it_raises_later_breaks_the_answer():
    async def app(scope, receive, send):
        await send(START)
        await send(body(event(token("a")), more=True))
        raise ValueError("boom")

    stream = await client(app).stream_tokens("x")
    assert await anext(stream) == "a"
    with pytest.raises(hfgen.IncompleteGenerationError, match="boom") as caught:
        await anext(stream)
    assert caught.value.text == "a"
    assert isinstance(caught.value.__cause__.__cause__, ValueError)


@pytest.mark.parametrize(
    "messages",
    [[], [body(b"x")], [{"type": "http.response.push"}], [{"type": "websocket.accept"}]],
)
async def test_what_is_no_answer(messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    with pytest.raises(hfgen.HfgenError, match="before it had begun its answer"):
        await client(app).run("x")


async def test_what_is_no_application():
    with pytest.raises(hfgen.HfgenError, match="TypeError"):
        await client(lambda _: None).run("x")


async def test_a_timeout_ends_it(monkeypatch):
    monkeypatch.setattr(_asgi, "_GRACE", 0.1)

    async def app(scope, receive, send):
        await asyncio.sleep(60)

    with pytest.raises(hfgen.TimeoutError):
        await client(app, timeout=0.1, max_retries=0).run("x")
    await asyncio.sleep(0.3)


async def test_an_abort_ends_it(monkeypatch):
    monkeypatch.setattr(_asgi, "_GRACE", 0.1)
    controller = hfgen.AbortController()

    async def app(scope, receive, send):
        await send(START)
        controller.abort()
        await asyncio.sleep(60)

    with pytest.raises(hfgen.AbortError):
        async for _ in await client(app, signal=controller.signal).stream_tokens("x"):
            pass
    await asyncio.sleep(0.3)


def test_it_is_for_the_async_side():
    async def app(scope, receive, send):
        raise AssertionError

    with pytest.raises(TypeError, match="FetchResponse"):
        hfgen.Client(fetch=from_asgi(app), api_url=URL).run("x")
