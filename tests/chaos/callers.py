"""The callers: they make the calls, in threads and in tasks, and record what they receive."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import hfgen
import hfgen.types
from chaos.generation import Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from chaos.plan import CallPlan

# Longer than a stream takes here, shorter than the test may take. If the machine is so slow that a
# healthy stream reaches a limit, the timeout is accepted as its ending.
_LIMITS = {"connect": 1.0, "first_token": 2.0, "between_tokens": 0.7}


@dataclass(slots=True)
class Outcome:
    """The outcome of a call.

    Attributes:
        items: The items that the caller received; for `run`, its one answer.
        ending: "whole" if the stream came to its end, "failed" with the `error`, "left" if the
            caller left it, None as long as it continues.
        error: The error that was raised.
    """

    items: list[Any] = field(default_factory=list)
    ending: Literal["whole", "failed", "left"] | None = None
    error: BaseException | None = None


class Caller:
    """Makes one call, and records its outcome.

    Args:
        call_plan: The call, and how its caller behaves.
        seed: The seed of its generation.
        url: The URL of the proxy.
    """

    def __init__(self, call_plan: CallPlan, seed: int, url: str) -> None:
        self.call_plan = call_plan
        self.outcome = Outcome()
        generation = Generation.of(seed, call_plan.number)
        parameters = {"max_new_tokens": len(generation.tokens), "details": call_plan.details}
        self._request = {"inputs": generation.prompt, "parameters": parameters}
        self._controller = hfgen.AbortController()
        self._options: dict[str, Any] = {
            "api_url": f"{url}/generate",
            "timeout": hfgen.Timeout(**_LIMITS, total=call_plan.total),
            "retry": hfgen.Retry(max_retries=call_plan.max_retries, backoff=0.02),
            "signal": self._controller.signal,
        }
        if call_plan.resume:
            self._options["resume"] = True

    def call(self, client: hfgen.Client) -> None:
        """Make the call in this thread."""
        with self._note_outcome(), self._abort_later():
            result = self._verb(client)()
            if self.call_plan.verb == "run":
                self.outcome.items += result
            else:
                self._read(result)

    async def call_async(self, client: hfgen.AsyncClient) -> None:
        """Make the call in this task, which may be cancelled."""
        with self._note_outcome(), self._abort_later():
            if self.call_plan.verb == "run":
                if self.call_plan.leaving == "cancel":
                    self._cancel_soon(self.call_plan.after / 100)
                self.outcome.items += await self._verb(client)()
            else:
                await self._read_async(await self._verb(client)())

    def _verb(self, client: hfgen.Client | hfgen.AsyncClient) -> Callable[[], Any]:
        return partial(getattr(client, self.call_plan.verb), self._request, **self._options)

    @contextmanager
    def _note_outcome(self) -> Iterator[None]:
        try:
            yield
            self.outcome.ending = self.outcome.ending or "whole"
        except asyncio.CancelledError:
            self.outcome.ending = "left"
        except hfgen.StreamClosedError as error:
            # The loop continues after it has closed its stream, and must get this error.
            was_closed = self.call_plan.leaving == "close" and self.outcome.ending == "left"
            self.outcome.ending = "left" if was_closed else "failed"
            self.outcome.error = error
        except BaseException as error:  # noqa: BLE001 - the error is judged later
            self.outcome.ending, self.outcome.error = "failed", error

    @contextmanager
    def _abort_later(self) -> Iterator[None]:
        if self.call_plan.leaving != "late abort":
            yield
            return
        timer = threading.Timer(self.call_plan.after / 100, self._controller.abort)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _read(self, stream: hfgen.types.Stream[Any]) -> None:
        if self.call_plan.leaving == "drop":
            for item in iter(partial(next, stream, None), None):
                if self._leaves_after(item):
                    self.outcome.ending = "left"
                    return
            return
        for item in stream:
            if not self._leaves_after(item):
                continue
            if self.call_plan.leaving == "abort":
                self._controller.abort()
                continue
            self.outcome.ending = "left"
            if self.call_plan.leaving == "break":
                break
            stream.close()

    async def _read_async(self, stream: hfgen.types.AsyncStream[Any]) -> None:
        if self.call_plan.leaving == "drop":
            while (item := await anext(stream, None)) is not None:
                if self._leaves_after(item):
                    self.outcome.ending = "left"
                    return
            return
        async for item in stream:
            if not self._leaves_after(item):
                continue
            if self.call_plan.leaving == "abort":
                self._controller.abort()
                continue
            if self.call_plan.leaving == "cancel":
                self._cancel_soon(0.01)
                continue
            self.outcome.ending = "left"
            if self.call_plan.leaving == "break":
                break
            await stream.aclose()

    def _leaves_after(self, item: Any) -> bool:
        self.outcome.items.append(item)
        departures = {"break", "close", "drop", "abort", "cancel"}
        return (
            self.call_plan.leaving in departures and len(self.outcome.items) == self.call_plan.after
        )

    @staticmethod
    def _cancel_soon(seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        # Later, when the task waits for the next item.
        asyncio.get_running_loop().call_later(seconds, task.cancel)


def start_threads(
    client: hfgen.Client, callers_by_worker: list[list[Caller]]
) -> list[threading.Thread]:
    """Start a thread for each list of callers, who call one after the other."""

    def work(callers: list[Caller]) -> None:
        for caller in callers:
            caller.call(client)

    threads = [
        threading.Thread(target=work, args=(callers,), name="caller", daemon=True)
        for callers in callers_by_worker
    ]
    for thread in threads:
        thread.start()
    return threads


async def run_tasks(client: hfgen.AsyncClient, callers_by_worker: list[list[Caller]]) -> None:
    """Run each list of callers, who call one after the other, beside the others."""

    async def work(callers: list[Caller]) -> None:
        for caller in callers:
            await asyncio.wait([asyncio.create_task(caller.call_async(client))])

    await asyncio.gather(*map(work, callers_by_worker))


def outcomes_by_number(
    callers_by_worker: list[list[Caller]],
) -> Mapping[int, tuple[CallPlan, Outcome]]:
    """Return the plans and outcomes of all calls, by their numbers."""
    return {
        caller.call_plan.number: (caller.call_plan, caller.outcome)
        for callers in callers_by_worker
        for caller in callers
    }
