"""The floor: bytes from the socket, chunks undone, events decoded by msgspec, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Self

import msgspec

from benchmarks.clients.raw_request import encode_body, encode_request, parse_port

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "msgspec"


class Token(msgspec.Struct):
    """The fields of a token that are read."""

    text: str


class Event(msgspec.Struct):
    """The fields of an event that are read."""

    token: Token
    generated_text: str | None = None


class Answer(msgspec.Struct):
    """The fields of an answer that are read."""

    generated_text: str


_event = msgspec.json.Decoder(Event)
_answer = msgspec.json.Decoder(Answer)


class Reader:
    """Decodes an answer: calls `on_token` for each token, and tells when the body has ended."""

    def __init__(self, on_token: Callable[[str], object]) -> None:
        self._on_token = on_token
        self._rest = b""
        self._in_head = True

    def feed(self, data: bytes) -> bool:
        """Take a piece of the answer; return whether it was the last one."""
        data = self._rest + data
        position = 0
        if self._in_head:
            head, separator, _ = data.partition(b"\r\n\r\n")
            if not separator:
                self._rest = data
                return False
            position, self._in_head = len(head) + len(separator), False
        while (line_end := data.find(b"\r\n", position)) >= 0:
            size = int(data[position:line_end], 16)
            end = line_end + 2 + size
            if len(data) < end + 2:
                break
            if not size:
                return True
            for part in data[line_end + 2 : end].split(b"\n"):
                if part.startswith(b"data:"):
                    self._on_token(_event.decode(part[5:]).token.text)
            position = end + 2
        self._rest = data[position:]
        return False


def parse_answer(data: bytes) -> str | None:
    """Return the text of an answer of known length, None if it is not all here."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator or len(rest) < int(head.rpartition(b"content-length: ")[2]):
        return None
    return _answer.decode(rest.strip(b"[]")).generated_text


class Sync:
    """Over a blocking socket for each call."""

    def __init__(self, address: str) -> None:
        self._address = address

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        reader = Reader(on_token)
        with self._send("/generate_stream", encode_body(prompt, stream=True)) as sock:
            while not reader.feed(sock.recv(65536)):
                pass

    def run(self, prompt: str) -> str:
        data = b""
        with self._send("/generate", encode_body(prompt, stream=False)) as sock:
            while (text := parse_answer(data)) is None:
                data += sock.recv(65536)
        return text

    def _send(self, path: str, data: bytes) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", parse_port(self._address)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(encode_request(self._address, path, data))
        return sock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Async:
    """Over a protocol of asyncio's for each call: nothing is awaited for a token."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        await self._send(
            _TokenStream, on_token, "/generate_stream", encode_body(prompt, stream=True)
        )

    async def run(self, prompt: str) -> str:
        text: str = await self._send(
            _WholeAnswer, None, "/generate", encode_body(prompt, stream=False)
        )
        return text

    async def _send(self, protocol_class: Any, on_token: Any, path: str, data: bytes) -> Any:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        transport, _ = await loop.create_connection(
            lambda: protocol_class(done, on_token), "127.0.0.1", parse_port(self._address)
        )
        transport.write(encode_request(self._address, path, data))
        try:
            return await done
        finally:
            transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class _TokenStream(asyncio.Protocol):
    def __init__(self, done: asyncio.Future[None], on_token: Callable[[str], object]) -> None:
        self._done = done
        self._reader = Reader(on_token)

    def data_received(self, data: bytes) -> None:
        if self._reader.feed(data):
            self._done.set_result(None)


class _WholeAnswer(asyncio.Protocol):
    def __init__(self, done: asyncio.Future[str], _: object) -> None:
        self._done = done
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        if (text := parse_answer(self._data)) is not None:
            self._done.set_result(text)
