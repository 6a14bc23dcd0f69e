"""Measure how soon a server sees a client hang up, for each cause that ends a call.

    python benchmarks/interrupt_latency.py [--tries 50]

Client and server are in one process, on one clock. For each cause, and each place where a call may
wait, the milliseconds from the cause to the moment at which the server has noticed: median and
longest.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import hfgen
from hfgen.testing import Hang, ScriptedServer, answer, chunk, events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hfgen.testing import ScriptedAnswer

# Seconds after which the call is blocked in its read.
SETTLE = 0.02
STREAM = {"content-type": "text/event-stream"}
PLACES: dict[str, ScriptedAnswer] = {
    "before the headers": answer(Hang(), framing="raw"),
    "before the first token": answer(b":\n\n", Hang(), headers=STREAM),
    "between tokens": events(chunk("a"), Hang()),
    "in run": answer(b'{"generated_', Hang(), headers={"content-type": "application/json"}),
}
CLIENT_ENDS = (hfgen.AbortError, asyncio.CancelledError, TimeoutError, KeyboardInterrupt)


class Trial:
    """One call that gets stuck, and when it was ended."""

    def __init__(self, server: ScriptedServer, number: int, place: str) -> None:
        self.server = server
        self.number = number
        self.verb = "run" if place == "in run" else "stream_tokens"
        self.caused_at = 0.0

    def end_call(self, act: Callable[[], object]) -> None:
        """Wait until the call is stuck, and end it."""
        self.server.request(self.number)
        time.sleep(SETTLE)
        self.caused_at = time.monotonic()
        act()

    def measure_latency(self) -> float:
        """Wait until the server has noticed; return the milliseconds since the cause."""
        request = self.server.request(self.number)
        if not request.hung_up.wait(10) or request.hung_up_at is None:
            raise SystemExit("the server has not seen the client hang up")
        return (request.hung_up_at - self.caused_at) * 1000

    def read(self, client: hfgen.Client) -> None:
        """Make the call."""
        for _ in getattr(client, self.verb)("x"):
            pass

    async def read_async(self, client: hfgen.AsyncClient) -> None:
        """Make the call."""
        items = await getattr(client, self.verb)("x")
        async for _ in items:
            pass


def abort(client: hfgen.Client, trial: Trial) -> None:
    """Abort from another thread."""
    controller = hfgen.AbortController()
    thread = threading.Thread(target=trial.end_call, args=[controller.abort])
    thread.start()
    trial.read(client.with_options(signal=controller.signal))


def interrupt(client: hfgen.Client, trial: Trial) -> None:
    """Press Ctrl-C."""
    main = threading.main_thread().ident or 0
    act = lambda: signal.pthread_kill(main, signal.SIGINT)  # noqa: E731 - one line, used once
    threading.Thread(target=trial.end_call, args=[act]).start()
    trial.read(client)


async def abort_async(client: hfgen.AsyncClient, trial: Trial) -> None:
    """Abort from another thread."""
    controller = hfgen.AbortController()
    threading.Thread(target=trial.end_call, args=[controller.abort]).start()
    await trial.read_async(client.with_options(signal=controller.signal))


async def cancel(client: hfgen.AsyncClient, trial: Trial) -> None:
    """Cancel the task."""
    task = asyncio.create_task(trial.read_async(client))
    await asyncio.to_thread(trial.server.request, trial.number)
    await asyncio.sleep(SETTLE)
    trial.end_call(task.cancel)
    await task


async def time_out(client: hfgen.AsyncClient, trial: Trial) -> None:
    """Let the time of an `asyncio.timeout` run out."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        await asyncio.wait(
            {
                reading := asyncio.create_task(trial.read_async(client)),
                asyncio.create_task(asyncio.to_thread(trial.server.request, trial.number)),
            },
            return_when=asyncio.FIRST_COMPLETED,
        )
        await asyncio.sleep(SETTLE)
        trial.end_call(lambda: limit.reschedule(loop.time()))
        await reading


def measure_sync(
    act: Callable[[hfgen.Client, Trial], None], answer: ScriptedAnswer, place: str, tries: int
) -> list[float]:
    """Return the milliseconds of each try, on the sync side."""
    latencies = []
    with ScriptedServer(answer) as server, hfgen.Client(api_url=server.url) as client:
        for number in range(tries):
            trial = Trial(server, number, place)
            with suppress(*CLIENT_ENDS):
                act(client, trial)
            latencies.append(trial.measure_latency())
    return latencies


async def measure_async(
    act: Callable[[hfgen.AsyncClient, Trial], Awaitable[None]],
    answer: ScriptedAnswer,
    place: str,
    tries: int,
) -> list[float]:
    """Return the milliseconds of each try, on the async side."""
    latencies = []
    with ScriptedServer(answer) as server:
        async with hfgen.AsyncClient(api_url=server.url) as client:
            for number in range(tries):
                trial = Trial(server, number, place)
                with suppress(*CLIENT_ENDS):
                    await act(client, trial)
                latencies.append(await asyncio.to_thread(trial.measure_latency))
    return latencies


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tries", type=int, default=50, help="how often each")
    tries = parser.parse_args().tries
    print(f"{'cause':30}{'place':26}{'median':>8}{'longest':>9}  ms")
    sync = {"abort, sync": abort, "SIGINT, sync": interrupt}
    asynchronous = {
        "abort, async": abort_async,
        "task.cancel": cancel,
        "asyncio.timeout": time_out,
    }
    for cause in (*sync, *asynchronous):
        for place, script in PLACES.items():
            if cause in sync:
                latencies = measure_sync(sync[cause], script, place, tries)
            else:
                coroutine = measure_async(asynchronous[cause], script, place, tries)
                latencies = asyncio.run(coroutine)
            print(f"{cause:30}{place:26}{statistics.median(latencies):8.2f}{max(latencies):9.2f}")


if __name__ == "__main__":
    main()
