"""Streams that are left, and streams that break."""

import pytest

from helpers.breaking_proxies import Cutter, Recorder

ASKED = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 100}}


def test_who_leaves_is_not_generated_for(side, server, client, like):
    if like.work is None:
        pytest.skip("it does not tell")
    before = server.until_idle()
    parameters = {"max_new_tokens": 500, **like.on_and_on}
    streams = [
        side.call(client.stream, {"inputs": "Once upon a time", "parameters": parameters})
        for _ in range(2)
    ]
    for stream in streams:
        assert len(side.leave_by_break(stream, 3)) == 3
    assert server.until_idle() - before < 2 * 150
    # It serves on.
    assert len(side.collect(side.call(client.stream, ASKED))) >= 100


def test_who_leaves_has_closed_the_connection(side, server):
    with Recorder() as proxy:
        client = side.client(**server.options, proxy=proxy.url)
        assert side.call(client.run, ASKED)
        proxy.client_left.clear()
        assert len(side.leave_by_break(side.call(client.stream, ASKED), 3)) == 3
        side.wait_for(proxy.client_left)
    assert side.call(side.client(**server.options).run, ASKED)


@pytest.mark.parametrize(("times", "after"), [(1, 5), (2, 30)])
def test_a_break_is_mended(side, server, native, times, after):
    expected = native(ASKED).generated_text
    with Cutter(times=times, after=after) as proxy:
        client = side.client(**server.options, proxy=proxy.url)
        chunks = side.collect(side.call(client.stream, ASKED, resume=True))
        assert proxy.cuts == times
        side.close_client(client)
    assert "".join(chunk.token.text for chunk in chunks) == expected
    last = chunks[-1]
    assert last.resumed
    assert last.generated_text == expected
    assert last.details.finish_reason == "length"
    assert last.details.generated_tokens == 100
    assert [chunk.index for chunk in chunks] == list(range(1, len(chunks) + 1))
