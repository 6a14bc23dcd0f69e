"""The server behind the proxy: it speaks TGI's stream, and goes on with a tale where it stopped."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from chaos import wire
from chaos.tale import Tale, number_of
from hfgen import testing

if TYPE_CHECKING:
    from chaos.wire import Asked


class Upstream:
    """Answers one request a connection.

    Args:
        seed: What the tales are drawn from.
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
            asked = await wire.read_request(reader)
            for piece in self.answer(asked):
                writer.write(piece)
                await writer.drain()
                # So that tokens come one by one, as far as the machine's speed goes.
                await asyncio.sleep(0)
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    def answer(self, asked: Asked) -> list[bytes]:
        """Return the answer, token by token."""
        tale = Tale.of(self._seed, number_of(asked.json))
        if not asked.json["stream"]:
            parts, kind = [json.dumps(tale.answer(asked.json)).encode()], "application/json"
        else:
            parts, kind = tale.events(asked.json), "text/event-stream"
            if "x-fault" in asked.headers:
                place, _, error_type = asked.headers["x-fault"].partition(" ")
                parts = parts[: int(float(place) * len(parts))]
                if error_type:
                    parts.append(testing.event({"error": "oh no", "error_type": error_type}))
        headers = {"content-type": kind}
        match asked.headers["x-framing"]:
            case "chunked":
                headers["transfer-encoding"] = "chunked"
                parts = [*map(wire.chunk, parts), wire.chunk(b"")]
            case "length":
                headers["content-length"] = str(sum(map(len, parts)))
            case _:
                headers["connection"] = "close"
        return [wire.head(200, headers), *parts]
