"""One log record for each request; request ids; what is not HTTP."""

import asyncio
import logging
import re

import pytest

from hfgen.server.engine.jobs import Failed, Started
from hfgen.server.http.request_log import choose_request_id

PAYLOAD = {"inputs": "a"}


@pytest.fixture
def records(caplog):
    """Wait for the record of each request, and return their fields."""
    caplog.set_level(logging.INFO, "hfgen.server")

    async def wait(count):
        async with asyncio.timeout(20):
            while True:
                found = [record.fields for record in caplog.records if hasattr(record, "fields")]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.01)

    return wait


@pytest.mark.parametrize(
    ("method", "route", "payload", "status", "error"),
    [
        ("GET", "/info", None, 200, None),
        ("GET", "/a%0Ab?token=secret", None, 404, None),
        ("POST", "/generate", PAYLOAD, 200, None),
        ("POST", "/generate_stream", PAYLOAD, 200, None),
        ("POST", "/generate", {"inputs": ""}, 422, "Input validation error: `inputs` cannot be"),
        ("POST", "/generate", {}, 422, "Failed to deserialize the JSON body"),
        ("POST", "/generate_stream", {"inputs": ""}, 200, "Input validation error: `inputs` cann"),
        ("POST", "/v1/completions", {"prompt": ""}, 422, "Input validation error: `inputs` cannot"),
        (
            "POST",
            "/v1/completions",
            {"prompt": "", "stream": True},
            200,
            "Input validation error: `inputs` cannot",
        ),
        ("POST", "/generate", {"inputs": "fail"}, 424, "Request failed during generation: no luck"),
        ("POST", "/", {"inputs": "fail", "stream": True}, 200, "Request failed during generation"),
    ],
)
async def test_a_record_for_each_request(
    *, scripted_server, engine, http, records, method, route, payload, status, error, caplog
):
    def script(job):
        return [Failed("no luck")] if len(job.input_ids) > 1 else engine.story("a")

    server, _ = scripted_server(script)
    headers = {"x-request-id": "abc-1"}
    async with http.request(method, server.url + route, json=payload, headers=headers) as response:
        await response.read()
        assert response.status == status
        assert response.headers["x-request-id"] == "abc-1"
    (fields,) = await records(1)
    assert 0 <= fields.pop("seconds") < 30
    assert fields.pop("error", "").startswith(error or "")
    assert fields == {
        "client": "127.0.0.1",
        "method": method,
        "path": route.partition("?")[0],
        "status": status,
        "request_id": "abc-1",
    }
    assert "secret" not in caplog.text
    assert f"127.0.0.1 {method} {route.partition('?')[0]} {status} " in caplog.text


async def test_a_client_that_leaves(scripted_server, http, records):
    server, batcher = scripted_server()
    response = await http.post(f"{server.url}/generate_stream", json=PAYLOAD)
    (await asyncio.to_thread(batcher.job)).play([Started(0.0)])
    response.close()
    (fields,) = await records(1)
    assert (fields["status"], fields["error"]) == (499, "the client has left")


@pytest.mark.parametrize("sent", ["a", "~!", "x" * 128])
def test_a_request_keeps_its_id(sent):
    assert choose_request_id({"x-request-id": sent}) == sent


@pytest.mark.parametrize("sent", [None, "", "a b", "é", "a\x1b[1m", "x" * 129])
def test_a_request_gets_an_id(sent):
    headers = {} if sent is None else {"x-request-id": sent}
    first, second = choose_request_id(headers), choose_request_id(headers)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",  # TLS
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"G\x1b[1mET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: %b\r\n\r\n" % (b"y" * 20_000),
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_answered_and_logged_in_a_line(
    scripted_server, records, caplog, data
):
    server, _ = scripted_server()
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert b"HTTP/1.0 400 Bad Request\r\n" in answer
    (fields,) = await records(1)
    assert (fields["client"], fields["status"]) == ("127.0.0.1", 400)
    assert fields["error"].isprintable()
    assert not any(record.exc_info for record in caplog.records)


async def test_an_error_of_the_server_is_logged_with_its_traceback(
    scripted_server, http, records, monkeypatch, caplog
):
    def fail(_):
        raise ZeroDivisionError("a bug")

    server, _ = scripted_server(fail)
    async with http.post(f"{server.url}/generate", json=PAYLOAD) as response:
        assert response.status == 500
    (fields,) = await records(1)
    assert fields["status"] == 500
    assert "ZeroDivisionError: a bug" in caplog.text
