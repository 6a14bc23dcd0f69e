"""The proxy that delays, splits, cuts, resets and stalls answers, and records what it sends.

The proxy and its upstream have an event loop on a thread of their own.
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
from chaos.generation import read_number
from chaos.plan import AnswerPlan, CallPlan
from chaos.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from types import TracebackType

_PATIENCE = 30.0


@dataclass(slots=True)
class Exchange:
    """One request, and what its client was sent.

    Attributes:
        request: The JSON of the request.
        answer_plan: The plan of the answer.
        sent: Every byte of the answer that was handed to the system to be sent.
        is_reused: Whether its connection has served another request before.
        end: How the answer ended: as planned, or "left" when the client hung up before; None as
            long as it is being sent.
    """

    request: dict[str, Any]
    answer_plan: AnswerPlan
    is_reused: bool = False
    sent: bytearray = field(default_factory=bytearray)
    end: Literal["whole", "cut", "reset", "stall", "drop", "busy", "left"] | None = None

    @property
    def received(self) -> wire.ReceivedAnswer:
        """What the client can read from the sent bytes."""
        return wire.ReceivedAnswer.of(bytes(self.sent))


class ClientLeft(Exception):  # noqa: N818 - it is no error, but what clients do
    """The client has hung up."""


class Proxy:
    """Passes requests on to its upstream, each as its `AnswerPlan` has it.

    Args:
        seed: The seed of all random choices.
        call_plans: The calls that will be made, by their numbers.
    """

    def __init__(self, seed: int, call_plans: Mapping[int, CallPlan]) -> None:
        self.exchanges: dict[int, list[Exchange]] = defaultdict(list)
        # Requests that were wrong, and errors of the proxy itself.
        self.complaints: list[str] = []
        self.urls: dict[str, str] = {}
        self._seed = seed
        self._call_plans = call_plans
        self._upstream = Upstream(seed)
        self._upstream_port = 0
        self._connections: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
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
    def unfinished_streams(self) -> list[int]:
        """The numbers of the streams whose answers have not ended."""
        return [n for n, some in self.exchanges.items() if any(p.end is None for p in some)]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    async def _start(self) -> None:
        self._upstream_port = await self._upstream.start()
        for endpoint, serve in (("open", self._serve), ("slammed", self._reset_connection)):
            server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
            self._servers.append(server)
            self.urls[endpoint] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        self._upstream.stop()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Transports are closed one turn of the loop later.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _reset_connection(
        self, _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        is_reused = False
        try:
            while True:
                request = await wire.read_request(reader)
                number = read_number(request.json)
                answer_plan = AnswerPlan.of(
                    self._seed, self._call_plans[number], len(self.exchanges[number])
                )
                exchange = Exchange(request.json, answer_plan, is_reused)
                is_reused = True
                self.exchanges[number].append(exchange)
                if not await _Carrier(reader, writer, exchange, self._seed).carry(self):
                    return
        except (OSError, EOFError):
            # The client has closed the connection, as it may between two requests.
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def answer(self, exchange: Exchange) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send the request to the upstream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        writer.write(wire.request(exchange.request, exchange.answer_plan.headers))
        return reader, writer

    def size(self, exchange: Exchange) -> int:
        """Return the length of the upstream's answer in bytes."""
        request = wire.Request(exchange.answer_plan.headers, exchange.request)
        return sum(map(len, self._upstream.answer(request)))


class _Carrier:
    """Carries one answer to its client."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        exchange: Exchange,
        seed: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        # No bytes may wait in this process, because a reset would discard them.
        writer.transport.set_write_buffer_limits(0)
        self._exchange = exchange
        self._rng = random.Random(
            f"pace {seed} {exchange.request['inputs']} {exchange.answer_plan}"
        )

    async def carry(self, proxy: Proxy) -> bool:
        """Send the answer as planned; return whether the connection stays open."""
        exchange, answer_plan = self._exchange, self._exchange.answer_plan
        try:
            await asyncio.sleep(answer_plan.wait)
            if answer_plan.end == "busy":
                status, retry_header = answer_plan.status
                headers = dict([retry_header, ("content-length", "0")])
                await self._send(wire.head(status, headers))
            elif answer_plan.end != "drop":
                await self._pass_on(proxy)
            if answer_plan.end == "stall":
                await self._wait_for_hang_up()
        except (ClientLeft, OSError):
            exchange.end = "left"
            return False
        except AssertionError as error:
            proxy.complaints.append(f"{exchange.request}: {error}")
            exchange.end = "drop"
            return False
        # Set before the client can see the end, because its stream may be judged at once.
        exchange.end = answer_plan.end
        if answer_plan.end == "reset" or (answer_plan.end == "drop" and answer_plan.at < 0.5):
            _reset(self._writer)
        return answer_plan.keeps_connection and await self._part()

    async def _pass_on(self, proxy: Proxy) -> None:
        answer_plan = self._exchange.answer_plan
        remaining = proxy.size(self._exchange)
        if answer_plan.end != "whole":
            remaining = int(remaining * answer_plan.at)
        reader, writer = await proxy.answer(self._exchange)
        try:
            while remaining and (piece := await reader.read(min(remaining, self._draw_size()))):
                remaining -= len(piece)
                await self._send(piece)
                if answer_plan.pause and self._rng.random() < 0.2:
                    await asyncio.sleep(self._rng.uniform(0.0, answer_plan.pause))
        finally:
            writer.close()

    def _draw_size(self) -> int:
        return self._rng.randint(1, self._exchange.answer_plan.piece)

    async def _send(self, piece: bytes) -> None:
        if self._reader.at_eof() or self._writer.is_closing():
            raise ClientLeft
        self._writer.write(piece)
        self._exchange.sent += piece
        await self._writer.drain()
        await asyncio.sleep(0)

    async def _wait_for_hang_up(self) -> None:
        with contextlib.suppress(OSError):
            assert not await self._reader.read(1), "a request before the answer to the last one"

    async def _part(self) -> bool:
        answer_plan = self._exchange.answer_plan
        if answer_plan.parting == "kept":
            return True
        if answer_plan.parting_wait:
            await asyncio.sleep(answer_plan.parting_wait)
        # The next request may have come in this time. It is lost then, as with a real proxy.
        if answer_plan.parting == "reset":
            _reset(self._writer)
        return False


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
