"""The proxy that delays, splits, cuts, resets and stalls, and records what it has let through.

It and its upstream have a loop of their own, on a thread of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from chaos import wire
from chaos.plan import Errand, Fate
from chaos.tale import number_of
from chaos.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from types import TracebackType

_PATIENCE = 30.0


@dataclass(slots=True)
class Passage:
    """One request, and what its client was sent.

    Attributes:
        request: Its JSON.
        fate: What was planned.
        sent: Every byte of the answer that was handed to the system to be sent.
        end: How it ended: as planned, or "left" when the client hung up before; None as long as
            it goes on.
    """

    request: dict[str, Any]
    fate: Fate
    sent: bytearray = field(default_factory=bytearray)
    end: Literal["whole", "cut", "reset", "stall", "drop", "busy", "left"] | None = None

    @property
    def got(self) -> wire.Got:
        """What the client makes of that."""
        return wire.Got.of(bytes(self.sent))


class Left(Exception):  # noqa: N818 - it is no error, but what clients do
    """The client has hung up."""


class Proxy:
    """Passes requests on to its upstream, each as its `Fate` has it.

    Args:
        seed: What all that is drawn is drawn from.
        errands: The errands that will knock, by their numbers.
    """

    def __init__(self, seed: int, errands: Mapping[int, Errand]) -> None:
        self.passages: dict[int, list[Passage]] = defaultdict(list)
        # What was asked for against the rules, and what this side itself did wrong.
        self.complaints: list[str] = []
        self.urls: dict[str, str] = {}
        self._seed = seed
        self._errands = errands
        self._upstream = Upstream(seed)
        self._upstream_port = 0
        self._connections: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, what: self.complaints.append(str(what)))
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos", daemon=True)
        self._servers: list[asyncio.Server] = []
        # Bound, but not listening: connections are refused.
        self._shut = socket.socket()

    def __enter__(self) -> Self:
        self._thread.start()
        self._shut.bind(("127.0.0.1", 0))
        self.urls["shut"] = f"http://127.0.0.1:{self._shut.getsockname()[1]}"
        self._run(self._start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()
        self._shut.close()

    @property
    def under_way(self) -> list[int]:
        """The streams whose answers are not at their end."""
        return [n for n, some in self.passages.items() if any(p.end is None for p in some)]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_PATIENCE)

    async def _start(self) -> None:
        self._upstream_port = await self._upstream.start()
        for door, serve in (("open", self._serve), ("slammed", self._slam)):
            server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
            self._servers.append(server)
            self.urls[door] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        self._upstream.stop()
        mine = asyncio.all_tasks() - {asyncio.current_task()}
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        # What was closed is gone only when the loop has come round.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _slam(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                asked = await wire.read_request(reader)
                number = number_of(asked.json)
                fate = Fate.of(self._seed, self._errands[number], len(self.passages[number]))
                passage = Passage(asked.json, fate)
                self.passages[number].append(passage)
                if not await _Carrier(reader, writer, passage, self._seed).carry(self):
                    return
        except (OSError, EOFError):
            # The client has closed it, as it may between two requests.
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def answer(self, passage: Passage) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask the upstream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        writer.write(wire.request(passage.request, passage.fate.headers))
        return reader, writer

    def size(self, passage: Passage) -> int:
        """Return how long the answer is that the upstream gives."""
        asked = wire.Asked(passage.fate.headers, passage.request)
        return sum(map(len, self._upstream.answer(asked)))


class _Carrier:
    """Carries one answer to its client."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passage: Passage,
        seed: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        # Nothing is to wait in this process, where a reset would take it back.
        writer.transport.set_write_buffer_limits(0)
        self._passage = passage
        self._rng = random.Random(f"pace {seed} {passage.request['inputs']} {passage.fate}")

    async def carry(self, proxy: Proxy) -> bool:
        """Do as the fate says; return whether the connection lives on."""
        passage, fate = self._passage, self._passage.fate
        try:
            await asyncio.sleep(fate.wait)
            if fate.end == "busy":
                status, asked_wait = fate.status
                headers = dict([asked_wait, ("content-length", "0")])
                await self._send(wire.head(status, headers))
            elif fate.end != "drop":
                await self._pass_on(proxy)
            if fate.end == "stall":
                await self._wait_for_hang_up()
        except (Left, OSError):
            passage.end = "left"
            return False
        except AssertionError as error:
            proxy.complaints.append(f"{passage.request}: {error}")
            passage.end = "drop"
            return False
        # Before the client can know: it may be judged at once.
        passage.end = fate.end
        if fate.end == "reset" or (fate.end == "drop" and fate.at < 0.5):
            _reset(self._writer)
        return fate.lives_on and await self._part()

    async def _pass_on(self, proxy: Proxy) -> None:
        fate = self._passage.fate
        left = proxy.size(self._passage)
        if fate.end != "whole":
            left = int(left * fate.at)
        reader, writer = await proxy.answer(self._passage)
        try:
            while left and (piece := await reader.read(min(left, self._draw_size()))):
                left -= len(piece)
                await self._send(piece)
                if fate.pause and self._rng.random() < 0.2:
                    await asyncio.sleep(self._rng.uniform(0.0, fate.pause))
        finally:
            writer.close()

    def _draw_size(self) -> int:
        return self._rng.randint(1, self._passage.fate.piece)

    async def _send(self, piece: bytes) -> None:
        if self._reader.at_eof() or self._writer.is_closing():
            raise Left
        self._writer.write(piece)
        self._passage.sent += piece
        await self._writer.drain()
        await asyncio.sleep(0)

    async def _wait_for_hang_up(self) -> None:
        with contextlib.suppress(OSError):
            assert not await self._reader.read(1), "a request before the answer to the last one"

    async def _part(self) -> bool:
        fate = self._passage.fate
        if fate.parting == "kept":
            return True
        if fate.parting_wait:
            await asyncio.sleep(fate.parting_wait)
        # In a time that long the next request may have come: it then is lost, as on a real line.
        if fate.parting == "reset":
            _reset(self._writer)
        return False


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
