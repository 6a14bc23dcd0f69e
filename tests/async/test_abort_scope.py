"""The start of an async call where asyncio runs no event loop, as under trio."""

import pytest

import hfgen


def step(coroutine):
    """Run a coroutine up to its first wait, as another library's event loop would."""
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes", "tokenize"])
@pytest.mark.parametrize("timeout", [5, None])
def test_a_call_says_what_it_needs(verb, timeout):
    client = hfgen.AsyncClient(api_url="http://127.0.0.1:9/generate", timeout=timeout)
    with pytest.raises(RuntimeError, match=r"event loop of asyncio.*trio"):
        step(getattr(client, verb)("Once"))


def test_many_rows_say_it():
    client = hfgen.AsyncClient(api_url="http://127.0.0.1:9/generate")
    with pytest.raises(RuntimeError, match=r"event loop of asyncio.*trio"):
        step(anext(aiter(client.generate_many(["Once"]))))


def test_the_block_of_a_client_does_not_hide_it():
    async def call():
        async with hfgen.AsyncClient(api_url="http://127.0.0.1:9/generate") as client:
            await client.run("Once")

    with pytest.raises(RuntimeError, match=r"event loop of asyncio.*trio"):
        step(call())
