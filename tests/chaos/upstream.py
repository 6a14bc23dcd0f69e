"""The server behind the proxy: it speaks TGI's stream, and continues a generation that broke."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from chaos import wire
from chaos.generation import Generation, read_number
from hfgen import testing

if TYPE_CHECKING:
    from chaos.wire import Request


class Upstream:
    """Answers one request a connection.

    Args:
        seed: What the generations are drawn from.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Begin to listen in the running loop; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Listen no more."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await wire.read_request(reader)
            for piece in self.answer(request):
                writer.write(piece)
                await writer.drain()
                # So that tokens come one by one, as far as the machine's speed goes.
                await asyncio.sleep(0)
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    def answer(self, request: Request) -> list[bytes]:
        """Return the answer, token by token."""
        generation = Generation.of(self._seed, read_number(request.json))
        if not request.json["stream"]:
            parts, kind = [json.dumps(generation.answer(request.json)).encode()], "application/json"
        else:
            parts, kind = generation.events(request.json), "text/event-stream"
            if "x-fault" in request.headers:
                place, _, error_type = request.headers["x-fault"].partition(" ")
                parts = parts[: int(float(place) * len(parts))]
                if error_type:
                    parts.append(testing.event({"error": "oh no", "error_type": error_type}))
        headers = {"content-type": kind}
        match request.headers["x-framing"]:
            case "chunked":
                headers["transfer-encoding"] = "chunked"
                parts = [*map(wire.chunk, parts), wire.chunk(b"")]
            case "length":
                headers["content-length"] = str(sum(map(len, parts)))
            case _:
                headers["connection"] = "close"
        return [wire.head(200, headers), *parts]
