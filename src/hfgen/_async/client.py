"""The async side: the client."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Self, TypeVar

from msgspec.structs import replace

from hfgen._async.abort_scope import begin
from hfgen._async.driver import drive
from hfgen._async.stream import AsyncStream
from hfgen._core.asking import informing, plan_of_server, tokenizing
from hfgen._core.body import token_text, whole_chunk
from hfgen._core.call import finding, running, streaming, streaming_bytes
from hfgen._core.errors import HfgenError, StatusError
from hfgen._core.request import normalise
from hfgen._io.connecting import split
from hfgen._io.target_cache import Known
from hfgen._options import AsyncClientOptions, AsyncOptions, Settings, refuse_resume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Unpack

    from hfgen._async.bulk_results import AsyncBulk
    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._core.answers import Chunk, GeneratedText, ServerInfo, SimpleToken
    from hfgen._core.call import Call
    from hfgen._core.conversation import Conversation, Opened
    from hfgen._core.request import RequestLike
    from hfgen._core.resume import Resumption
    from hfgen._core.routing import Plan
    from hfgen._core.target import Target
    from hfgen._io.interrupt import Interrupt

T = TypeVar("T")
Row = TypeVar("Row")


class AsyncClient:
    """The four verbs of `Client`, to be awaited.

    A client may be used in several event loops, one after another or in several threads; it
    holds a pool of connections for each, which goes when the loop shuts down at the latest.

    Args:
        **options: See `AsyncOptions`; and `proxy` and `ssl`, see `AsyncClientOptions`.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """

    def __init__(self, **options: Unpack[AsyncClientOptions]) -> None:
        from hfgen._async.transport import AsyncTransport  # noqa: PLC0415 - aiohttp

        connecting, others = split(options)
        self._settings = Settings().override(others)
        self._known = Known()
        self._transport = AsyncTransport(connecting)
        self._shares_pool = False
        self._closed = False

    async def run(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> list[GeneratedText]:
        """Generate, and return the whole answer; see `Client.run`."""
        refuse_resume(options)
        return await self._run(running(normalise(request), self._settings.override(options)))

    async def stream(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[Chunk]:
        """Generate, and return a stream of `Chunk`s, one a token; see `Client.stream`."""
        return await self._open_items(request, options, whole_chunk)

    async def stream_tokens(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[str]:
        """Generate, and return a stream of the texts of the tokens; see `Client.stream_tokens`."""
        return await self._open_items(request, options, token_text)

    async def stream_bytes(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[bytes]:
        """Generate, and return the body byte for byte, as it comes; see `Client.stream_bytes`."""
        refuse_resume(options)
        asked = streaming_bytes(normalise(request), self._settings.override(options))
        return await self._open(asked, None)

    async def info(self, **options: Unpack[AsyncOptions]) -> ServerInfo:
        """Ask the server what it is and what it serves; see `Client.info`."""
        settings = self._settings.override(options)
        call = begin(settings)
        try:
            return await self._drive(informing(settings, call), settings, call)
        finally:
            call.done()

    async def tokenize(self, text: str, **options: Unpack[AsyncOptions]) -> list[SimpleToken]:
        """Ask the server for the tokens of a text; see `Client.tokenize`."""
        settings = self._settings.override(options)
        call = begin(settings)
        try:
            targets = await self._targets(plan_of_server(settings), settings, call)
            conversation = tokenizing(text, targets[0], settings, call)
            return await self._drive(conversation, settings, call)
        finally:
            call.done()

    def generate_many(
        self,
        rows: Iterable[Row] | AsyncIterable[Row],
        *,
        request: Callable[[Row], RequestLike] | None = None,
        model: str | None = None,
        concurrency: int | tuple[int, int] = (1, 256),
        rate_limit: RateLimit | None = None,
        api_urls: Sequence[str] | None = None,
        ordered: bool = False,
        stream: bool = True,
        **options: Unpack[AsyncOptions],
    ) -> AsyncBulk[Row]:
        """Generate for every row, many at once; see `Client.generate_many`.

        `rows` may be an async iterable. A sync one must not block: it is read in the event loop.
        """
        from hfgen._async.bulk_results import AsyncBulk  # noqa: PLC0415 - few calls are for it
        from hfgen._bulk.plan import BulkPlan, check_rows  # noqa: PLC0415

        refuse_resume(options)
        plan = BulkPlan.from_arguments(
            self._settings.override(options),
            model=model,
            concurrency=concurrency,
            rate_limit=rate_limit,
            api_urls=api_urls,
            ordered=ordered,
            stream=stream,
        )
        return AsyncBulk(
            self.with_options(**options), check_rows(rows, AsyncIterable), request, plan
        )

    def with_options(self, **options: Unpack[AsyncOptions]) -> AsyncClient:
        """Return a client with these options over this one's, on the same connections.

        The connections stay this client's: they close with it, not with the new one.
        """
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__, _shares_pool=True)
        client._settings = self._settings.override(options)
        return client

    async def aclose(self) -> None:
        """Close the connections of the running loop; further calls raise `HfgenError`.

        A stream that is not at its end breaks.
        """
        self._closed = True
        if not self._shares_pool:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self._settings!r})"

    async def _run(self, asked: Call[T]) -> T:
        call = begin(asked.settings)
        try:
            return await self._ask(asked, call)
        finally:
            call.done()

    async def _open_items(
        self, request: RequestLike, options: AsyncOptions, select: Callable[[Chunk], T | None]
    ) -> AsyncStream[T]:
        settings = self._settings.override(options)
        return await self._open(*streaming(normalise(request), settings, select))

    async def _open(self, asked: Call[Opened[T]], resumption: Resumption | None) -> AsyncStream[T]:
        call = begin(asked.settings)

        async def reopen(error: HfgenError) -> Opened[T] | None:
            broken = resumption.broken(error) if resumption is not None else None
            if resumption is None or broken is None:
                return None
            rest, failure = broken
            try:
                return await self._ask(replace(asked, request=rest), call, failure)
            except HfgenError as last:
                resumption.given_up(last, failure)
                return None

        try:
            # A connection of hfgen's own wakes a read when it is closed; a caller's may not.
            return AsyncStream(
                await self._ask(asked, call),
                call,
                reopen,
                guarded=asked.settings.fetch is not None,
            )
        except BaseException:
            call.done()
            raise

    async def _ask(self, asked: Call[T], call: Interrupt, after: HfgenError | None = None) -> T:
        plan = asked.plan()
        targets = await self._targets(plan, asked.settings, call)
        conversation = asked.converse(targets, call, after)
        try:
            target, result = await self._drive(conversation, asked.settings, call)
        except StatusError as error:
            self._known.doubt(plan.key, error)
            raise
        if len(targets) > 1:
            self._known.keep(plan.key, (target,))
        return result

    async def _targets(self, plan: Plan, settings: Settings, call: Interrupt) -> tuple[Target, ...]:
        if targets := self._known.get(plan.key) or plan.targets:
            return targets
        asking = finding(plan, settings, call)
        return await self._known.afind(
            plan.key, settings.asker, lambda: self._drive(asking, settings, call), call
        )

    async def _drive(self, conversation: Conversation[T], settings: Settings, call: Interrupt) -> T:
        if self._closed or self._transport.closed:
            raise HfgenError("the client is closed")
        fetch = settings.fetch or self._transport
        return await drive(conversation, fetch, call, settings.on_retry)
