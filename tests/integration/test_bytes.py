"""The bytes of a stream, as the server sent them."""

from helpers.breaking_proxies import Recorder
from helpers.other_servers import events

ASKED = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}}


def test_they_are_the_servers(side, server, like, native):
    with Recorder() as proxy:
        client = side.client(**server.options, proxy=proxy.url)
        came = b"".join(side.collect(side.call(client.stream_bytes, ASKED)))
        assert came == proxy.body
        side.close_client(client)
    said = events(came)
    assert (said[-1] == "[DONE]") == like.ends_with_done
    texts = [choice["text"] for each in said if each != "[DONE]" for choice in each["choices"]]
    assert "".join(texts) == native(ASKED).generated_text
