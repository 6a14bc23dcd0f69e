"""Between the routes and the engine: permits, running generations, health, and shutting down.

A route opens a `GenerationGroup` and starts generations in it. Each `Generation` takes a permit, is
validated, becomes a job of the batcher, and collects the tokens that the job emits. Leaving the
group cancels what still runs and returns the permits. `Service` holds all that a route needs.

Source: text-generation-inference, `router/src/infer/mod.rs`: a generation takes its permit before
it is validated, and keeps the permit until its request is answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Self, TypeAlias

from aiohttp import web

from hfgen._version import __version__
from hfgen.server._options import Limits, ServerOptions
from hfgen.server.engine.jobs import (
    Event,
    Failed,
    Generated,
    Job,
    Sampling,
    Started,
)
from hfgen.server.http.channel import Channel, Mailbox
from hfgen.server.http.errors import GenerationError, OverloadedError, RequestError
from hfgen.server.http.generation import Generation
from hfgen.server.http.metrics import Metrics
from hfgen.server.http.validation import Validator

if TYPE_CHECKING:
    from types import TracebackType

    from hfgen.server.engine.batcher import Batcher
    from hfgen.server.engine.checkpoint import Model
    from hfgen.server.http.requests import GenerateRequest

# Seconds in which the engine must generate one token for a health check.
_PROBE_TIMEOUT = 10.0


_Item: TypeAlias = tuple[Generation, Event]


class GenerationGroup:
    """The generations of one request. A context manager: leaving it cancels those still running.

    Iterating yields the tokens of all of them, in the order in which the engine emits them.
    """

    def __init__(self, inference: Inference, *, keep_alive: float | None) -> None:
        self._inference = inference
        self._channel: Channel[_Item] = Channel(inference.loop, keep_alive=keep_alive)
        self._received_at = perf_counter()
        self._running: dict[int, Generation] = {}
        self._permits = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()
        for generation in self._running.values():
            self._inference.cancel(generation, client_gone=not isinstance(exc, RequestError))
        self._inference.release_permits(self._permits)

    def take_permit(self) -> None:
        """Take one of the server's permits until the group is left.

        Raises:
            OverloadedError: All permits are taken.
        """
        self._inference.acquire_permit()
        self._permits += 1

    async def start(self, request: GenerateRequest, *, index: int = 0) -> Generation:
        """Validate a request and hand it to the engine.

        Raises:
            OverloadedError: All permits are taken.
            ValidationError: The request is refused.
        """
        inference = self._inference
        try:
            self.take_permit()
            job = await inference.validator.validate(request)
        except RequestError as error:
            inference.metrics.count_failure(error)
            raise
        inference.metrics.count_job(job)
        generation = Generation(
            job, index=index, received_at=self._received_at, queued_at=perf_counter()
        )
        self._running[index] = generation
        inference.submit(generation, self._channel)
        return generation

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Generation, Generated | Failed] | None:
        """Return the next token or failure of any of the generations, until all have ended.

        Returns:
            A generation with its event, or None when no event has come for `keep_alive` seconds.
        """
        if not self._running:
            raise StopAsyncIteration
        while (item := await self._channel.get()) is not None:
            generation, event = item
            if isinstance(event, Generated):
                generation.add(event)
                if event.finish_reason is not None:
                    self._remove(generation, healthy=True)
                return generation, event
            if isinstance(event, Failed):
                self._remove(generation, healthy=False)
                self._inference.metrics.count_failure(GenerationError(event.message))
                return generation, event
            generation.started_at, generation.prefill = event.started_at, event.prefill
        return None

    async def wait_for_end(self) -> None:
        """Wait until every generation has ended.

        Raises:
            GenerationError: One of them has failed.
        """
        async for item in self:
            if item is not None and isinstance(item[1], Failed):
                raise GenerationError(item[1].message)

    def _remove(self, generation: Generation, *, healthy: bool) -> None:
        del self._running[generation.index]
        self._inference.healthy = healthy


class Inference:
    """The engine as the routes see it. All methods are called on the event loop.

    Args:
        batcher: Runs the jobs, on its own thread.
        validator: Turns requests into jobs.
        metrics: Counts what becomes of them.
        permits: How many generations may wait or run at once.
    """

    def __init__(
        self, batcher: Batcher, validator: Validator, metrics: Metrics, *, permits: int
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.validator = validator
        self.metrics = metrics
        self.healthy = True
        self._batcher = batcher
        self._mailbox: Mailbox[_Item] = Mailbox(self.loop)
        self._permits = permits
        self._permits_taken = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    def open_group(self, *, keep_alive: float | None = None) -> GenerationGroup:
        return GenerationGroup(self, keep_alive=keep_alive)

    def acquire_permit(self) -> None:
        if self._draining or self._permits_taken >= self._permits:
            raise OverloadedError
        self._permits_taken += 1
        self._idle.clear()

    def release_permits(self, permits: int) -> None:
        self._permits_taken -= permits
        if not self._permits_taken:
            self._idle.set()

    def submit(self, generation: Generation, channel: Channel[_Item]) -> None:
        post = self._mailbox.post
        generation.submitted = self._batcher.submit(
            generation.job, lambda event: post(channel, (generation, event))
        )

    def cancel(self, generation: Generation, *, client_gone: bool) -> None:
        """Cancel a generation's job, and count it as dropped if its client has disconnected."""
        if client_gone:
            self.metrics.count_dropped()
        if generation.submitted is not None:
            generation.submitted.cancel()

    async def check_health(self) -> bool:
        """Return whether the engine works. After a failure, test it by generating one token."""
        if self._draining:
            return False
        if not self.healthy:
            self.healthy = await self._probe()
        return self.healthy

    async def _probe(self) -> bool:
        job = Job(input_ids=(0,), sampling=Sampling(seed=0), max_new_tokens=1)
        now = perf_counter()
        generation = Generation(job, index=0, received_at=now, queued_at=now)
        channel: Channel[_Item] = Channel(self.loop)
        self.submit(generation, channel)
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                while item := await channel.get():
                    if not isinstance(item[1], Started):
                        return isinstance(item[1], Generated)
        except TimeoutError:
            pass
        finally:
            self.cancel(generation, client_gone=False)
        return False

    async def drain(self, grace: float, hurry: asyncio.Event) -> None:
        """Refuse new generations, and give the running ones time to end; then stop the batcher.

        Generations that still run after that fail: their streams end with an error event instead
        of breaking off.

        Args:
            grace: Seconds to wait for all requests to be answered.
            hurry: Ends the wait as soon as it is set.
        """
        self._draining = True
        waits = [self.loop.create_task(event.wait()) for event in (self._idle, hurry)]
        await asyncio.wait(waits, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.to_thread(self._batcher.stop, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A model with everything that the routes need to serve it; every route finds it in its app."""

    name: str
    options: ServerOptions
    limits: Limits
    validator: Validator
    inference: Inference
    metrics: Metrics

    @property
    def fingerprint(self) -> str:
        """The `system_fingerprint` of `/v1/completions`: version and build."""
        return f"{__version__}-native"

    @classmethod
    def from_model(cls, model: Model, batcher: Batcher, options: ServerOptions) -> Service:
        """Create the service of a model; call this on the event loop that will run it."""
        limits = Limits.from_options(options, max_positions=model.engine.max_positions)
        metrics = Metrics(
            limits,
            queue_size=lambda: batcher.queue_size,
            batch_size=lambda: batcher.batch_size,
        )
        validator = Validator(model.tokenizer, limits)
        permits = options.max_concurrent_requests
        return cls(
            name=model.name,
            options=options,
            limits=limits,
            validator=validator,
            inference=Inference(batcher, validator, metrics, permits=permits),
            metrics=metrics,
        )


SERVICE = web.AppKey("service", Service)
