"""The bytes of a stream, as the server sent them."""

from helpers.breaking_proxies import Recorder
from helpers.other_servers import parse_events

REQUEST = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}}


def test_bytes_are_passed_on_unchanged(side, server, profile, native):
    with Recorder() as proxy:
        client = side.client(**server.options, proxy=proxy.url)
        body = b"".join(side.collect(side.call(client.stream_bytes, REQUEST)))
        assert body == proxy.body
        side.close_client(client)
    data = parse_events(body)
    assert (data[-1] == "[DONE]") == profile.ends_with_done
    texts = [choice["text"] for event in data if event != "[DONE]" for choice in event["choices"]]
    assert "".join(texts) == native(REQUEST).generated_text
