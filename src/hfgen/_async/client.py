"""`AsyncClient`: the four verbs, async."""

from __future__ import annotations

from collections.abc import AsyncIterable
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hfgen._async.session import AsyncSession
from hfgen._core.verbs import Chunks, RawBytes, Run, Texts
from hfgen._options import (
    AsyncCallOptions,
    AsyncClientOptions,
    AsyncOptions,
    override_settings,
    refuse_resume,
    show_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Unpack

    from hfgen._async.bulk import AsyncBulk
    from hfgen._async.stream import AsyncStream
    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._core.answers import Chunk, GeneratedText, ServerInfo, SimpleToken
    from hfgen._core.request import AnyRequest, RequestLike

Row = TypeVar("Row")


class AsyncClient:
    """The four verbs of `Client`, async.

    It works in asyncio. Under trio, use `Client` in a thread.

    Several event loops may share a client, one after another or in several threads. It has a pool
    of connections for each loop, which is closed at the latest when the loop shuts down.

    Args:
        **options: See `AsyncOptions`; and `proxy` and `ssl`, see `AsyncClientOptions`.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """

    @show_options(AsyncClientOptions)
    def __init__(self, **options: Unpack[AsyncClientOptions]) -> None:
        self._session = AsyncSession(options)

    @show_options(AsyncOptions)
    async def run(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> list[GeneratedText]:
        """Generate, and return the whole answer; see `Client.run`."""
        refuse_resume(options)
        return await self._session.run(Run, request, options)

    @show_options(AsyncOptions)
    async def stream(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[Chunk]:
        """Generate, and return a stream of `Chunk`s, one a token; see `Client.stream`."""
        return await self._session.open(Chunks, request, options)

    @show_options(AsyncOptions)
    async def stream_tokens(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[str]:
        """Generate, and return a stream of the texts of the tokens; see `Client.stream_tokens`."""
        return await self._session.open(Texts, request, options)

    @show_options(AsyncOptions)
    async def stream_bytes(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[bytes]:
        """Generate, and return the body as it arrives, undecoded; see `Client.stream_bytes`."""
        refuse_resume(options)
        return await self._session.open(RawBytes, request, options)

    @show_options(AsyncCallOptions)
    async def info(self, **options: Unpack[AsyncCallOptions]) -> ServerInfo:
        """Return what the server is and which model it serves; see `Client.info`."""
        from hfgen._core.server_info import read_info  # noqa: PLC0415 - few programs ask

        settings = override_settings(self._session.settings, options)
        return await self._session.drive(read_info, settings)

    @show_options(AsyncCallOptions)
    async def tokenize(self, text: str, **options: Unpack[AsyncCallOptions]) -> list[SimpleToken]:
        """Return the tokens of a text; see `Client.tokenize`."""
        from hfgen._core.server_info import tokenize  # noqa: PLC0415 - few programs ask

        settings = override_settings(self._session.settings, options)
        return await self._session.drive(partial(tokenize, text), settings)

    @show_options(AsyncOptions)
    def generate_many(
        self,
        rows: Iterable[Row] | AsyncIterable[Row],
        *,
        request: Callable[[Row], AnyRequest] | None = None,
        concurrency: int | tuple[int, int] = (1, 256),
        rate_limit: RateLimit | None = None,
        api_urls: Sequence[str] | None = None,
        ordered: bool = False,
        stream: bool = True,
        patience: float = 600.0,
        **options: Unpack[AsyncOptions],
    ) -> AsyncBulk[Row]:
        """Generate for each row, many at once; see `Client.generate_many`.

        `rows` may be an async iterable. A sync one is read in the event loop, so it must not block.
        `concurrency` is (1, 256) by default.
        """
        from hfgen._async.bulk import AsyncBulk  # noqa: PLC0415 - few programs need it
        from hfgen._bulk.plan import BulkPlan, check_rows  # noqa: PLC0415

        refuse_resume(options)
        session = self._session.with_options(options)
        plan = BulkPlan.from_arguments(
            session.settings,
            concurrency=concurrency,
            rate_limit=rate_limit,
            api_urls=api_urls,
            ordered=ordered,
            stream=stream,
            patience=patience,
        )
        return AsyncBulk(session, check_rows(rows, AsyncIterable), request, plan)

    @show_options(AsyncOptions)
    def with_options(self, **options: Unpack[AsyncOptions]) -> AsyncClient:
        """Return a client with these options over this one's, on the same connections.

        The connections stay this client's: they close with it, not with the new one.
        """
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__, _session=self._session.with_options(options))
        return client

    async def aclose(self) -> None:
        """Close the connections of the running loop; further calls raise `HfgenError`.

        A stream that is not at its end breaks.
        """
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __getstate__(self) -> dict[str, Any]:
        # The options in place of connections and locks, which belong to this process.
        return {**self.__dict__, "_session": self._session.collect_options()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _session=AsyncSession(state["_session"]))

    def __repr__(self) -> str:
        return f"AsyncClient({self._session.settings!r})"
