"""Streams that are left, and streams that break."""

import pytest

from helpers.breaking_proxies import Cutter, Recorder

REQUEST = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 100}}


def test_the_server_stops_generating_when_a_stream_is_left(side, server, client, profile):
    if profile.work_metrics is None:
        pytest.skip("it does not tell")
    count_before = server.wait_until_idle()
    parameters = {"max_new_tokens": 500, **profile.endless_parameters}
    streams = [
        side.call(client.stream, {"inputs": "Once upon a time", "parameters": parameters})
        for _ in range(2)
    ]
    for stream in streams:
        assert len(side.leave_by_break(stream, 3)) == 3
    assert server.wait_until_idle() - count_before < 2 * 150
    # It serves on.
    assert len(side.collect(side.call(client.stream, REQUEST))) >= 100


def test_leaving_a_stream_closes_its_connection(side, server):
    with Recorder() as proxy:
        client = side.client(**server.options, proxy=proxy.url)
        assert side.call(client.run, REQUEST)
        proxy.client_left.clear()
        assert len(side.leave_by_break(side.call(client.stream, REQUEST), 3)) == 3
        side.wait_for(proxy.client_left)
    assert side.call(side.client(**server.options).run, REQUEST)


@pytest.mark.parametrize(("times", "after"), [(1, 5), (2, 30)])
def test_a_broken_stream_is_resumed(side, server, native, times, after):
    expected = native(REQUEST).generated_text
    with Cutter(times=times, after=after) as proxy:
        client = side.client(**server.options, proxy=proxy.url)
        chunks = side.collect(side.call(client.stream, REQUEST, resume=True))
        assert proxy.cuts == times
        side.close_client(client)
    assert "".join(chunk.token.text for chunk in chunks) == expected
    last = chunks[-1]
    assert last.resumed
    assert last.generated_text == expected
    assert last.details.finish_reason == "length"
    assert last.details.generated_tokens == 100
    assert [chunk.index for chunk in chunks] == list(range(1, len(chunks) + 1))
