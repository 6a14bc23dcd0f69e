"""The transport of the async side, beneath a stream."""

import asyncio

import pytest

from hfgen import AsyncClient
from hfgen.testing import Hang, tokens


@pytest.mark.parametrize("ends", [True, False])
async def test_a_timer_for_the_end_of_a_body_is_set_only_where_it_is_not_here(
    serve, monkeypatch, ends
):
    """One that were left to fire would hold the call, and wake the loop, after every stream."""
    server = serve(tokens("one two", *([] if ends else [Hang()]), ends=True))
    loop, set_for = asyncio.get_running_loop(), []

    def call_later(seconds, *arguments, **options):
        set_for.append(seconds)
        return original(seconds, *arguments, **options)

    original = loop.call_later
    monkeypatch.setattr(loop, "call_later", call_later)
    async with AsyncClient(api_url=f"{server.url}/generate") as client:
        texts = []
        async for text in await client.stream_tokens("hi"):
            texts.append(text)
            # All of it arrives meanwhile.
            await asyncio.sleep(0.1)
    assert "".join(texts) == "one two"
    assert (0.5 in set_for) is not ends
