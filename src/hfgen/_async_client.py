"""The async side: the client, and the driver that does what the conversation asks for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Self, TypeVar

from hfgen._async_abort import AbortScope
from hfgen._async_stream import AsyncStream, hang_up
from hfgen._boundary import checked, checked_piece, translated
from hfgen._call import DIALECT, fetch_request
from hfgen._connecting import split
from hfgen._core import exchange
from hfgen._core.decoder import token_text, whole_chunk
from hfgen._errors import HfgenError
from hfgen._options import AsyncClientOptions, AsyncOptions, Settings
from hfgen._retry import Retry

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.exchange import Accept, Conversation, Opened, Step
    from hfgen._fetch import AsyncFetch, FetchResponse
    from hfgen._request import RequestLike
    from hfgen._signal import AbortSignal

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
        settings = self._settings.override(options)
        return await self._converse(request, settings, exchange.answers(DIALECT), stream=False)

    async def stream(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[Chunk]:
        """Generate, and return a stream of `Chunk`s, one a token; see `Client.stream`."""
        return await self._open(request, options, exchange.items(DIALECT, whole_chunk))

    async def stream_tokens(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[str]:
        """Generate, and return a stream of the texts of the tokens; see `Client.stream_tokens`."""
        return await self._open(request, options, exchange.items(DIALECT, token_text))

    async def stream_bytes(
        self, request: RequestLike, **options: Unpack[AsyncOptions]
    ) -> AsyncStream[bytes]:
        """Generate, and return the body byte for byte, as it comes; see `Client.stream_bytes`."""
        return await self._open(request, options, exchange.raw)

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

    async def _open(
        self, request: RequestLike, options: AsyncOptions, accept: Accept[Opened[T]]
    ) -> AsyncStream[T]:
        settings = self._settings.override(options)
        response, decoder = await self._converse(request, settings, accept, stream=True)
        return AsyncStream(response, decoder, settings.signal)

    async def _converse(
        self, request: RequestLike, settings: Settings, accept: Accept[T], *, stream: bool
    ) -> T:
        if self._closed or self._transport.closed:
            raise HfgenError("the client is closed")
        conversation = exchange.converse(
            fetch_request(request, settings, stream=stream),
            Retry(max_retries=settings.max_retries),
            accept,
        )
        return await drive(conversation, settings.fetch or self._transport, settings.signal)


async def drive(conversation: Conversation[T], fetch: AsyncFetch, signal: AbortSignal | None) -> T:
    """Do what the conversation asks for until it returns."""
    try:
        step = next(conversation)
        while True:
            try:
                with AbortScope(signal) if signal else contextlib.nullcontext():
                    reply = await _perform(step, fetch)
            except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
                if isinstance(step, exchange.Read):
                    # Aborted before it was begun.
                    hang_up(asyncio.get_running_loop(), step.response.close)
                step = conversation.throw(translated(error, signal) or error)
            else:
                step = conversation.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _perform(step: Step, fetch: AsyncFetch) -> FetchResponse | bytes:
    if isinstance(step, exchange.Read):
        return await _read(step.response, step.limit)
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
        await asyncio.sleep(step.wait)
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
        if (closing := hang_up(asyncio.get_running_loop(), response.close)) is not None:
            await closing
    return bytes(body[:limit])
