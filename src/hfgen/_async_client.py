"""The async side: the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from hfgen._async_driver import drive
from hfgen._async_interrupt import begin
from hfgen._async_stream import AsyncStream
from hfgen._call import DIALECT, accepted_items, fetch_request
from hfgen._connecting import split
from hfgen._core import accept, exchange
from hfgen._core.decoder import token_text, whole_chunk
from hfgen._errors import HfgenError
from hfgen._options import AsyncClientOptions, AsyncOptions, Settings, refuse_resume
from hfgen._request import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Unpack

    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.exchange import Accept, Opened
    from hfgen._core.resume import Resumption
    from hfgen._fetch import FetchRequest
    from hfgen._interrupt import Interrupt
    from hfgen._request import RequestLike

T = TypeVar("T")


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
        from hfgen._transports.asynchronous import AsyncTransport  # noqa: PLC0415 - aiohttp

        connecting, others = split(options)
        self._settings = Settings().override(others)
        self._transport = AsyncTransport(connecting)
        self._shares_pool = False
        self._closed = False

    async def run(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> list[GeneratedText]:
        """Generate, and return the whole answer; see `Client.run`."""
        refuse_resume(options)
        settings, body = self._settings.override(options), normalise(request)
        call = begin(settings)
        try:
            asked = fetch_request(body, settings, call, stream=False)
            return await self._converse(
                asked, settings, accept.answers(DIALECT, settings.max_event_bytes), call
            )
        finally:
            call.done()

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
        settings, body = self._settings.override(options), normalise(request)
        return await self._open(body, settings, accept.raw(DIALECT, settings.max_event_bytes), None)

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

    async def _open_items(
        self, request: RequestLike, options: AsyncOptions, select: Callable[[Chunk], T | None]
    ) -> AsyncStream[T]:
        settings, body = self._settings.override(options), normalise(request)
        return await self._open(body, settings, *accepted_items(body, settings, select))

    async def _open(
        self,
        body: Mapping[str, Any],
        settings: Settings,
        accepting: Accept[Opened[T]],
        resumption: Resumption | None,
    ) -> AsyncStream[T]:
        call = begin(settings)

        async def opened(body: Mapping[str, Any], after: HfgenError | None = None) -> Opened[T]:
            request = fetch_request(body, settings, call, stream=True)
            return await self._converse(request, settings, accepting, call, after)

        async def reopen(error: HfgenError) -> Opened[T] | None:
            broken = resumption.broken(error) if resumption is not None else None
            if resumption is None or broken is None:
                return None
            rest, failure = broken
            try:
                return await opened(rest, failure)
            except HfgenError as last:
                resumption.given_up(last, failure)
                return None

        try:
            # A connection of hfgen's own wakes a read when it is closed; a caller's may not.
            return AsyncStream(await opened(body), call, reopen, guarded=settings.fetch is not None)
        except BaseException:
            call.done()
            raise

    async def _converse(
        self,
        request: FetchRequest,
        settings: Settings,
        accepting: Accept[T],
        call: Interrupt,
        after: HfgenError | None = None,
    ) -> T:
        if self._closed or self._transport.closed:
            raise HfgenError("the client is closed")
        conversation = exchange.converse(request, settings.retry, accepting, after=after)
        fetch = settings.fetch or self._transport
        return await drive(conversation, fetch, call, settings.on_retry)
