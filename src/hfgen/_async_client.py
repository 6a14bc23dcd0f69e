"""The async side: the client, and the driver that does what the conversation asks for."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hfgen._async_interrupt import AbortScope, begin
from hfgen._async_stream import AsyncStream, hang_up
from hfgen._boundary import checked, checked_piece, translated
from hfgen._call import DIALECT, fetch_request
from hfgen._connecting import split
from hfgen._core import exchange
from hfgen._core.decoder import token_text, whole_chunk
from hfgen._core.resume import Resumption
from hfgen._errors import HfgenError
from hfgen._options import AsyncClientOptions, AsyncOptions, Settings, refuse_resume
from hfgen._request import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Unpack

    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.exchange import Accept, Conversation, Opened, Step
    from hfgen._fetch import AsyncFetch, FetchRequest, FetchResponse
    from hfgen._interrupt import Interrupt
    from hfgen._options import OnRetry
    from hfgen._request import RequestLike

T = TypeVar("T")

log = logging.getLogger("hfgen")


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
            return await self._converse(asked, settings, exchange.answers(DIALECT), call)
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
        return await self._open(body, settings, exchange.raw(DIALECT), None)

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
        if not settings.resume:
            return await self._open(body, settings, exchange.items(DIALECT, select), None)
        resumption = Resumption(body)
        taking = exchange.items(DIALECT, lambda chunk: select(resumption.take(chunk)))
        return await self._open(body, settings, taking, resumption)

    async def _open(
        self,
        body: Mapping[str, Any],
        settings: Settings,
        accept: Accept[Opened[T]],
        resumption: Resumption | None,
    ) -> AsyncStream[T]:
        call = begin(settings)

        async def opened(body: Mapping[str, Any], after: HfgenError | None = None) -> Opened[T]:
            request = fetch_request(body, settings, call, stream=True)
            return await self._converse(request, settings, accept, call, after)

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
        accept: Accept[T],
        call: Interrupt,
        after: HfgenError | None = None,
    ) -> T:
        if self._closed or self._transport.closed:
            raise HfgenError("the client is closed")
        conversation = exchange.converse(request, settings.retry, accept, after=after)
        fetch = settings.fetch or self._transport
        return await drive(conversation, fetch, call, settings.on_retry)


async def drive(
    conversation: Conversation[T], fetch: AsyncFetch, call: Interrupt, on_retry: OnRetry | None
) -> T:
    """Do what the conversation asks for until it returns."""
    try:
        step = next(conversation)
        while True:
            waits = isinstance(step, exchange.Send | exchange.Read | exchange.Peek)
            try:
                with AbortScope(call) if waits else contextlib.nullcontext():
                    reply = await _perform(step, fetch, call, on_retry)
            except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
                if isinstance(step, exchange.Read | exchange.Peek):
                    # It may have been aborted before it was begun.
                    await _close(step.response)
                step = conversation.throw(translated(error, call) or error)
            else:
                step = conversation.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _perform(step: Step, fetch: AsyncFetch, call: Interrupt, on_retry: OnRetry | None) -> Any:
    match step:
        case exchange.Send():
            return await _send(step, fetch, call, on_retry)
        case exchange.Read():
            return await _read(step.response, step.limit)
        case exchange.Peek():
            piece = await anext(step.response.body, None)  # type: ignore[call-overload] # checked
            return None if piece is None else checked_piece(piece)
        case exchange.Drop():
            return await _close(step.response)
        case exchange.Elapsed():
            return call.elapsed


async def _send(
    step: exchange.Send, fetch: AsyncFetch, call: Interrupt, on_retry: OnRetry | None
) -> FetchResponse:
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
        if on_retry is not None and inspect.isawaitable(
            told := on_retry(step.retries, step.wait, step.error)
        ):
            await told
        call.rest()
        await asyncio.sleep(step.wait)
    call.expect_first()
    log.debug("%r", step.request)
    return checked(await fetch(step.request), asynchronous=True)


async def _read(response: FetchResponse, limit: int | None) -> bytes:
    body = bytearray()
    try:
        async for piece in response.body:  # type: ignore[union-attr] # checked
            body += checked_piece(piece)
            if limit is not None and len(body) >= limit:
                break
    finally:
        await _close(response)
    return bytes(body[:limit])


async def _close(response: FetchResponse) -> None:
    if (closing := hang_up(asyncio.get_running_loop(), response.close)) is not None:
        await closing
