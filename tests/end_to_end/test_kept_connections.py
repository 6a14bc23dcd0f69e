"""Connections that are kept for the next request, while the server closes or writes on them."""

import socket
import struct
import threading
import time

import aiohttp
import pytest

import hfgen
from helpers.byte_server import http, serving
from hfgen.fetch import from_aiohttp

RESET = struct.pack("ii", 1, 0)


def close_after_each(connection, _):
    """What llama-server does after a stream: it closes, and has not announced it."""
    connection.sendall(http("right"))
    return False


def close_before_the_second(connection, number):
    if number == 1:
        connection.sendall(http("right"))
    return number == 1


def reset_before_the_second(connection, number):
    if number == 1:
        connection.sendall(http("right"))
        return True
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return False


@pytest.mark.parametrize(
    "answer", [close_after_each, close_before_the_second, reset_before_the_second]
)
def test_a_kept_connection_that_the_server_closed_is_no_attempt(side, answer):
    notices = []
    with serving(answer) as (url, numbers):
        client = side.client(
            api_url=url, max_retries=0, on_retry=lambda *notice: notices.append(notice)
        )
        for _ in range(6):
            assert side.call(client.run, "hi")[0].generated_text == "right"
    assert not notices
    # On a new connection the request is answered, and is not sent again.
    assert numbers.count(1) <= 6


def test_a_new_connection_that_the_server_closes_is_an_attempt(side):
    with serving(lambda *_: False) as (url, numbers):
        client = side.client(api_url=url, max_retries=0)
        error = side.failure(client.run, "hi")
    assert isinstance(error, hfgen.ConnectError)
    assert numbers == [1]


def test_an_answer_that_breaks_in_its_headers_is_an_attempt(side):
    def answer(connection, number):
        connection.sendall(http("right") if number == 1 else b"HTTP/1.1 200 OK\r\nset-cookie: s3")
        return number == 1

    with serving(answer) as (url, numbers):
        client = side.client(api_url=url, max_retries=0)
        side.call(client.run, "hi")
        error = side.failure(client.run, "hi")
    assert isinstance(error, hfgen.ConnectError)
    assert str(error).endswith("the server closed it inside the headers")
    assert numbers == [1, 2]


def test_bytes_that_arrive_between_requests_are_no_answer(side):
    is_written = threading.Event()

    def answer(connection, _):
        connection.sendall(http("right"))
        time.sleep(0.02)
        connection.sendall(http("another prompt's text"))
        is_written.set()

    with serving(answer) as (url, numbers):
        client = side.client(api_url=url, max_retries=0)
        for _ in range(3):
            is_written.clear()
            assert side.call(client.run, "hi")[0].generated_text == "right"
            assert is_written.wait(10)
            # The loop of the async side reads what has arrived.
            side.sleep(0.05)
    assert numbers == [1, 1, 1]


async def test_a_session_of_aiohttp_has_such_connections():
    def answer(connection, number):
        if number == 1:
            connection.sendall(http("right"))
        return number == 1

    with serving(answer) as (url, numbers):
        async with aiohttp.ClientSession() as session:
            client = hfgen.AsyncClient(api_url=url, max_retries=0, fetch=from_aiohttp(session))
            for _ in range(3):
                assert (await client.run("hi"))[0].generated_text == "right"
    assert numbers == [1, 2, 1, 2, 1]


def test_an_interim_answer_makes_no_kept_connection(side):
    def answer(connection, _):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n")
        return False

    with serving(answer) as (url, numbers):
        client = side.client(api_url=url, max_retries=0)
        error = side.failure(client.run, "hi")
    assert isinstance(error, hfgen.ConnectError)
    assert numbers == [1]
