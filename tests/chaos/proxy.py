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
        request: Its JSON.
        answer_plan: What was planned.
        sent: Every byte of the answer that was handed to the system to be sent.
        end: How it ended: as call_plan, or "left" when the client hung up before; None as long as
            it goes on.
    """

    request: dict[str, Any]
    answer_plan: AnswerPlan
    sent: bytearray = field(default_factory=bytearray)
    end: Literal["whole", "cut", "reset", "stall", "drop", "busy", "left"] | None = None

    @property
    def received(self) -> wire.ReceivedAnswer:
        """What the client makes of that."""
        return wire.ReceivedAnswer.of(bytes(self.sent))


class ClientLeft(Exception):  # noqa: N818 - it is no error, but what clients do
    """The client has hung up."""


class Proxy:
    """Passes requests on to its upstream, each as its `AnswerPlan` has it.

    Args:
        seed: What all that is drawn is drawn from.
        call_plans: The calls that will be made, by their numbers.
    """

    def __init__(self, seed: int, call_plans: Mapping[int, CallPlan]) -> None:
        self.exchanges: dict[int, list[Exchange]] = defaultdict(list)
        # What was asked for against the rules, and what this side itself did wrong.
        self.complaints: list[str] = []
        self.urls: dict[str, str] = {}
        self._seed = seed
        self._call_plans = call_plans
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
        return [n for n, some in self.exchanges.items() if any(p.end is None for p in some)]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_PATIENCE)

    async def _start(self) -> None:
        self._upstream_port = await self._upstream.start()
        for endpoint, serve in (("open", self._serve), ("slammed", self._slam)):
            server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
            self._servers.append(server)
            self.urls[endpoint] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

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
                request = await wire.read_request(reader)
                number = read_number(request.json)
                answer_plan = AnswerPlan.of(
                    self._seed, self._call_plans[number], len(self.exchanges[number])
                )
                exchange = Exchange(request.json, answer_plan)
                self.exchanges[number].append(exchange)
                if not await _Carrier(reader, writer, exchange, self._seed).carry(self):
                    return
        except (OSError, EOFError):
            # The client has closed it, as it may between two requests.
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def answer(self, exchange: Exchange) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask the upstream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        writer.write(wire.request(exchange.request, exchange.answer_plan.headers))
        return reader, writer

    def size(self, exchange: Exchange) -> int:
        """Return how long the answer is that the upstream gives."""
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
        # Nothing is to wait in this process, where a reset would take it back.
        writer.transport.set_write_buffer_limits(0)
        self._exchange = exchange
        self._rng = random.Random(
            f"pace {seed} {exchange.request['inputs']} {exchange.answer_plan}"
        )

    async def carry(self, proxy: Proxy) -> bool:
        """Do as planned; return whether the connection lives on."""
        exchange, answer_plan = self._exchange, self._exchange.answer_plan
        try:
            await asyncio.sleep(answer_plan.wait)
            if answer_plan.end == "busy":
                status, asked_wait = answer_plan.status
                headers = dict([asked_wait, ("content-length", "0")])
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
        # Before the client can know: it may be judged at once.
        exchange.end = answer_plan.end
        if answer_plan.end == "reset" or (answer_plan.end == "drop" and answer_plan.at < 0.5):
            _reset(self._writer)
        return answer_plan.lives_on and await self._part()

    async def _pass_on(self, proxy: Proxy) -> None:
        answer_plan = self._exchange.answer_plan
        left = proxy.size(self._exchange)
        if answer_plan.end != "whole":
            left = int(left * answer_plan.at)
        reader, writer = await proxy.answer(self._exchange)
        try:
            while left and (piece := await reader.read(min(left, self._draw_size()))):
                left -= len(piece)
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
        # In a time that long the next request may have come: it then is lost, as on a real line.
        if answer_plan.parting == "reset":
            _reset(self._writer)
        return False


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
