"""Servers that cannot be reached, and other bad input: each ends in a clear error, none hangs."""

import socket
import subprocess
import sys

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from hfgen.testing import Hang, event

VERBS = ["run", "stream", "stream_tokens", "stream_bytes"]


@pytest.fixture
def refused_url():
    """A URL with a port on which no server listens."""
    with socket.socket() as unused_socket:
        unused_socket.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused_socket.getsockname()[1]}/generate"


@pytest.mark.parametrize("verb", VERBS)
def test_a_refused_port(side, refused_url, verb):
    with pytest.raises(hfgen.ConnectError, match="cannot connect to http://127") as caught:
        getattr(side, verb)(None, api_url=f"{refused_url}?key=secret", max_retries=0)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_refused_port_is_tried_again(side, refused_url, caplog):
    caplog.set_level("INFO", logger="hfgen")
    with pytest.raises(hfgen.ConnectError):
        side.run(None, api_url=refused_url, max_retries=1)
    assert len([record for record in caplog.records if "trying again" in record.message]) == 1


@pytest.mark.parametrize(
    "host",
    [
        "no-such-host.invalid",
        "no-such-host.invalid:8080",
        "no_such_host.invalid",
        "a..b.invalid",
        ".invalid",
        "a" * 64 + ".invalid",
        "b\u00fccher.invalid",
        "xn--zzzz\u00fc.invalid",
        "1.2.3.4.5",
        "999.999.999.999",
        "-.invalid",
        "*.invalid",
        "%00.invalid",
        "127.0.0.1:0",
    ],
)
@pytest.mark.parametrize("verb", ["run", "stream"])
def test_a_host_that_does_not_exist(side, verb, host):
    with pytest.raises((hfgen.ConnectError, hfgen.InvalidRequestError, hfgen.TimeoutError)):
        getattr(side, verb)(None, api_url=f"http://{host}/", max_retries=0, timeout=5)


def test_a_server_that_speaks_no_tls(side, serve):
    server = serve(as_json({"generated_text": "a"}))
    with pytest.raises((hfgen.ConnectError, hfgen.TimeoutError)):
        side.run(None, api_url=server.url.replace("http:", "https:"), max_retries=0, timeout=0.5)


def test_an_untrusted_certificate(side, serve, certificate):
    server = serve(as_json({"generated_text": "a"}), tls=certificate)
    with pytest.raises(hfgen.ConnectError, match="certificate"):
        side.run(server, max_retries=0)
    assert server.requests == []


def test_an_abort_wakes_a_read_over_tls(serve, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    script = """
import asyncio, sys, threading, time
import hfgen
url = sys.argv[1]
with hfgen.Client(api_url=url, timeout=60) as client:
    assert list(client.stream_tokens("x")) == ["a"]
    controller = hfgen.AbortController()
    stream = client.stream_tokens("x", signal=controller.signal)
    assert next(stream) == "b"
    threading.Timer(0.3, controller.abort).start()
    started = time.monotonic()
    try:
        next(stream)
    except hfgen.AbortError:
        pass
    else:
        raise AssertionError
    assert time.monotonic() - started < 20

async def main():
    async with hfgen.AsyncClient(api_url=url, timeout=60) as client:
        controller = hfgen.AbortController()
        stream = await client.stream_tokens("x", signal=controller.signal)
        assert await anext(stream) == "b"
        threading.Timer(0.3, controller.abort).start()
        try:
            await anext(stream)
        except hfgen.AbortError:
            pass
        else:
            raise AssertionError

asyncio.run(main())
"""
    server = serve(
        events(token("a", last="a")), events(token("b"), Hang()), events(token("b"), Hang()),
        tls=certificate,
    )  # fmt: skip
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, server.url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert process.stderr == ""
    assert process.returncode == 0
    for request in server.requests[1:]:
        assert request.hung_up.wait(10)


def test_an_empty_prompt_is_sent(side, serve):
    refusal = as_json({"error": "`inputs` cannot be empty", "error_type": "validation"}, 422)
    server = serve(refusal)
    with pytest.raises(hfgen.ValidationError, match="cannot be empty"):
        side.run(server, "")
    assert server.request().json["inputs"] == ""


def test_bytes_that_are_not_utf8(side, serve):
    bad = b'data: {"token": {"text": "\xff\xe6\x97"}}\n\n'
    stream = side.stream_tokens(serve(events(token("a"), bad, token("b", last="ab"))))
    assert side.collect(stream) == ["a", "\ufffd\ufffd", "b"]


def test_halves_of_a_character_in_two_events(side, serve):
    halves = [b'data: {"token": {"text": "%b"}}\n\n' % half for half in (b"\\ud83d", b"\\ude00")]
    stream = side.stream_tokens(serve(events(*halves, token("b", last="😀b"))))
    assert side.collect(stream) == ["", "😀", "b"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_a_byte_order_mark_before_json(side, serve, content_type):
    body = b'\xef\xbb\xbf{"generated_text": "a", "score": NaN}'
    server = serve(answer(body, framing="length", content_type=content_type))
    assert side.run(server)[0].generated_text == "a"
    assert side.collect(side.stream_tokens(server)) == ["a"]


@pytest.mark.parametrize(("size", "limit"), [(20_000_000, None), (10_000, 9_000)])
def test_a_token_beyond_the_limit(side, serve, size, limit):
    server = serve(events(token("a"), token("x" * size)))
    stream = side.stream_tokens(server, max_event_bytes=limit)
    with pytest.raises(hfgen.MalformedStreamError, match="exceeds") as caught:
        side.collect(stream)
    assert caught.value.text == "a"
    assert len(str(caught.value)) < 400


def test_a_token_of_1_mb(side, serve):
    text = "é" * 500_000
    stream = side.stream_tokens(serve(events(token(text, last=text))))
    assert side.collect(stream) == [text]


def test_a_prompt_of_a_megabyte(side, serve):
    server = serve(as_json({"generated_text": "a"}))
    side.run(server, "é" * 500_000)
    assert server.request().json["inputs"] == "é" * 500_000


def test_an_event_that_is_not_json(side, serve):
    stream = side.stream_tokens(serve(events(token("a"), b"data: <html>\n\n")))
    with pytest.raises(hfgen.MalformedStreamError, match="<html>"):
        side.collect(stream)


def test_events_of_other_types_are_skipped(side, serve):
    ping = b'event: ping\ndata: {"time": 5}\n\n'
    server = serve(events(ping, event(token("a", last="a")), ping))
    assert side.collect(side.stream_tokens(server)) == ["a"]
