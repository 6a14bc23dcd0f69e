"""By hand, with the standard library's `http.client`, and msgspec."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING, Self

import msgspec

from benchmarks.clients.floor import Answer, Event
from benchmarks.clients.raw_request import HEADERS, encode_body, parse_port

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "msgspec"

_event = msgspec.json.Decoder(Event)
_answers = msgspec.json.Decoder(Answer)


class Sync:
    """A connection for each call."""

    def __init__(self, address: str) -> None:
        self._port = parse_port(address)

    def stream(self, prompt: str, on_token: Callable[[str], object]) -> None:
        connection = HTTPConnection("127.0.0.1", self._port)
        connection.request("POST", "/generate_stream", encode_body(prompt, stream=True), HEADERS)
        for line in connection.getresponse():
            if line.startswith(b"data:"):
                on_token(_event.decode(line[5:]).token.text)
        connection.close()

    def run(self, prompt: str) -> str:
        connection = HTTPConnection("127.0.0.1", self._port)
        connection.request("POST", "/generate", encode_body(prompt, stream=False), HEADERS)
        text = _answers.decode(connection.getresponse().read()).generated_text
        connection.close()
        return text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
