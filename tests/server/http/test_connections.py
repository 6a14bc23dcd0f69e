"""Clients that keep the server waiting, and more connections than there is room for."""

import asyncio
import json
import logging
import socket
import sys

import pytest

from hfgen.server.engine.jobs import Generated, Started

HEAD = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
HALF_BODY = HEAD + b'content-length: 100\r\n\r\n{"inputs": '
HALF_CHUNKED_BODY = HEAD + b'transfer-encoding: chunked\r\n\r\n5\r\n{"inp\r\n'
INFO = b"GET /info HTTP/1.1\r\nhost: localhost\r\n\r\n"


class RawConnection:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    async def read_head(self):
        async with asyncio.timeout(20):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def read_answer(self):
        head = await self.read_head()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        await self.reader.readexactly(length)
        return head.partition("\r\n")[0]

    async def read_rest(self):
        """Wait until the server closes the connection."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@pytest.fixture
async def connect():
    writers = []

    async def connect(server, **options):
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), **options)
        writers.append(writer)
        return RawConnection(reader, writer)

    yield connect
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("data", [b"", b"GET /info HTT", b"GET /info HTTP/1.1\r\nhost: a\r\nx-"])
async def test_a_connection_without_a_whole_head_is_closed(scripted_server, connect, data):
    server, _ = scripted_server(idle_timeout=0.2)
    connection = await connect(server)
    connection.send(data)
    assert await connection.read_rest() == b""


@pytest.mark.parametrize("data", [b"", b"GET /in"])
async def test_a_connection_is_closed_some_time_after_its_last_answer(
    scripted_server, connect, data
):
    server, _ = scripted_server(idle_timeout=0.3)
    connection = await connect(server)
    for _ in range(2):
        connection.send(INFO)
        assert await connection.read_answer() == "HTTP/1.1 200 OK"
    connection.send(data)
    assert await connection.read_rest() == b""


@pytest.mark.parametrize("request_bytes", [HALF_BODY, HALF_CHUNKED_BODY])
@pytest.mark.parametrize(
    "route", [b"/", b"/generate", b"/generate_stream", b"/tokenize", b"/v1/completions"]
)
async def test_half_a_body_is_answered_with_408(scripted_server, connect, route, request_bytes):
    server, batcher = scripted_server(client_timeout=0.2)
    connection = await connect(server)
    connection.send(request_bytes % route)
    head = await connection.read_head()
    assert head.startswith("HTTP/1.1 408 Request Timeout\r\n")
    assert "connection: close" in head.lower()
    connection.writer.write_eof()
    assert b"it has not arrived within 0.2 seconds" in await connection.read_rest()
    assert batcher.jobs == []


@pytest.mark.parametrize("route", ["/generate", "/generate_stream"])
async def test_the_limits_do_not_apply_to_the_server_itself(
    scripted_server, engine, http, parse_events, route
):
    server, batcher = scripted_server(idle_timeout=0.05, client_timeout=0.05)
    task = asyncio.create_task(http.post(server.url + route, json={"inputs": "a"}))
    job = await asyncio.to_thread(batcher.job)
    start, *tokens = engine.story("a", "b")
    job.play([start])
    await asyncio.sleep(0.2)
    job.play(tokens[:1])
    await asyncio.sleep(0.2)
    job.play(tokens[1:])
    async with await task as response:
        body = await response.text()
    answer = json.loads(body) if route == "/generate" else parse_events(body)[-1]
    assert answer["generated_text"] == "ab"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has TCP_USER_TIMEOUT")
async def test_a_client_that_does_not_read_its_answer(scripted_server, engine, http, connect):
    def script(_):
        return [Started(0.0), *[Generated(engine.token("x" * 100_000))] * 300]

    server, batcher = scripted_server(script, client_timeout=0.2)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    with sock:
        body = b'{"inputs": "a"}'
        sock.sendall(
            (HEAD + b"content-length: %d\r\n\r\n" % len(body)) % b"/generate_stream" + body
        )
        job = await asyncio.to_thread(batcher.job)
        assert await asyncio.to_thread(job.cancelled.wait, 20)


async def test_at_the_limit_the_connection_that_has_waited_longest_makes_room(
    scripted_server, connect
):
    server, _ = scripted_server(max_connections=3)
    first, second, third = [await connect(server) for _ in range(3)]
    for connection in (second, third, first):
        connection.send(INFO)
        assert await connection.read_answer() == "HTTP/1.1 200 OK"
    fourth = await connect(server)
    fourth.send(INFO)
    assert await fourth.read_answer() == "HTTP/1.1 200 OK"
    assert await second.read_rest() == b""
    for connection in (first, third, fourth):
        connection.send(INFO)
        assert await connection.read_answer() == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("data", [b"", b"GET /inf", HALF_BODY % b"/generate"])
async def test_clients_that_keep_the_server_waiting_shut_no_one_out(
    scripted_server, connect, data, http
):
    server, _ = scripted_server(max_connections=4)
    for _ in range(12):
        (await connect(server)).send(data)
    async with http.get(f"{server.url}/info") as response:
        assert response.status == 200


async def test_without_room_a_new_connection_has_to_wait(
    scripted_server, engine, http, connect, caplog
):
    server, batcher = scripted_server(max_connections=1)
    async with http.post(f"{server.url}/generate_stream", json={"inputs": "a"}) as stream:
        job = await asyncio.to_thread(batcher.job)
        others = [await connect(server) for _ in range(3)]
        for other in others:
            other.send(INFO)
        await asyncio.sleep(0.1)
        job.play(engine.story("a"))
        await stream.read()
    for other in others:
        assert await other.read_answer() == "HTTP/1.1 200 OK"
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "new connections have to wait: 1 connections are open"
    ]


async def test_an_answer_that_is_still_being_sent_is_not_cut_to_make_room(scripted_server, connect):
    server, _ = scripted_server(max_connections=1)
    body = json.dumps({"inputs": "x" * 300_000}).encode()
    slow = await connect(server, limit=1024)  # reads little ahead of the test
    slow.send(HEAD % b"/tokenize" + b"content-length: %d\r\n\r\n" % len(body) + body)
    head = await slow.read_head()
    other = await connect(server)
    other.send(INFO)
    await asyncio.sleep(0.5)
    length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
    async with asyncio.timeout(20):
        assert len(await slow.reader.readexactly(length)) == length
    assert await other.read_answer() == "HTTP/1.1 200 OK"
