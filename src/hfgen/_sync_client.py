"""The sync side: the client, and the driver that does what the conversation asks for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Self, TypeVar

from hfgen import _url
from hfgen._boundary import checked, checked_piece, translated
from hfgen._call import DIALECT, fetch_request, get_request
from hfgen._connecting import split
from hfgen._core import exchange
from hfgen._core.decoder import token_text, whole_chunk
from hfgen._errors import HfgenError
from hfgen._options import ClientOptions, Options, Settings
from hfgen._retry import Retry
from hfgen._sync_stream import Stream

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.exchange import Accept, Conversation, Opened, Step
    from hfgen._fetch import Fetch, FetchRequest, FetchResponse
    from hfgen._request import RequestLike
    from hfgen._signal import AbortSignal

T = TypeVar("T")

log = logging.getLogger("hfgen")


class Client:
    """The four verbs, with options and a pool of connections held for many calls.

    Each call takes the same options again, for itself. A client may be used by many threads.

    Args:
        **options: See `Options`; and `proxy` and `ssl`, see `ClientOptions`.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        from hfgen._transports.sync import SyncTransport  # noqa: PLC0415 - imports urllib3

        connecting, others = split(options)
        self._settings = Settings().override(others)
        self._transport = SyncTransport(connecting)
        self._shares_pool = False
        self._closed = False

    def run(self, request: RequestLike, **options: Unpack[Options]) -> list[GeneratedText]:
        """Generate, and return the whole answer.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Returns:
            What the server generated: one `GeneratedText`, or as many as were asked for.

        Raises:
            InvalidRequestError: The request or an option cannot be sent.
            StatusError: The server refused or failed; see its subclasses.
            ConnectError: The server could not be reached.
            TimeoutError: It took longer than `timeout`.
            AbortError: `signal` was aborted.
            MalformedAnswerError: It answered with something else.
        """
        settings = self._settings.override(options)
        return self._converse(request, settings, exchange.answers(DIALECT), stream=False)

    def stream(self, request: RequestLike, **options: Unpack[Options]) -> Stream[Chunk]:
        """Generate, and return a stream of `Chunk`s, one a token.

        The connection is made, and the server has accepted, when this returns.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Raises:
            HfgenError: As from `run`, by this call. The stream then raises what happens to it:
                also `IncompleteGenerationError` if it ends before its last event, and
                `MalformedStreamError`; each with the `text` so far.
            StreamingNotSupportedError: The model cannot stream.
        """
        return self._open(request, options, exchange.items(DIALECT, whole_chunk))

    def stream_tokens(self, request: RequestLike, **options: Unpack[Options]) -> Stream[str]:
        """Generate, and return a stream of the texts of the tokens.

        Special tokens (`</s>`, `<|eot_id|>`) are not text and do not appear; joined, the texts
        are the generated text.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Raises:
            HfgenError: As from `stream`.
        """
        return self._open(request, options, exchange.items(DIALECT, token_text))

    def stream_bytes(self, request: RequestLike, **options: Unpack[Options]) -> Stream[bytes]:
        """Generate, and return the body of the server's stream byte for byte, as it comes.

        What the server says in it, errors included, is the caller's to read.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Raises:
            HfgenError: As from `run`, by this call; a connection that breaks raises
                `ConnectError` from the stream.
        """
        return self._open(request, options, exchange.raw)

    def with_options(self, **options: Unpack[Options]) -> Client:
        """Return a client with these options over this one's, on the same connections.

        The connections stay this client's: they close with it, not with the new one.
        """
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__, _shares_pool=True)
        client._settings = self._settings.override(options)
        return client

    def close(self) -> None:
        """Close the idle connections; further calls raise `HfgenError`. Streams go on."""
        self._closed = True
        if not self._shares_pool:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._settings!r})"

    def _open(self, request: RequestLike, options: Options, accept: Accept[Opened[T]]) -> Stream[T]:
        settings = self._settings.override(options)
        response, decoder = self._converse(request, settings, accept, stream=True)
        return Stream(response, decoder, settings.signal)

    def _get(self, url: str) -> bytes:
        _url.check(url, "the URL")
        return self._send(get_request(url, self._settings), self._settings, exchange.body)

    def _converse(
        self, request: RequestLike, settings: Settings, accept: Accept[T], *, stream: bool
    ) -> T:
        return self._send(fetch_request(request, settings, stream=stream), settings, accept)

    def _send(self, request: FetchRequest, settings: Settings, accept: Accept[T]) -> T:
        if self._closed or self._transport.closed:
            raise HfgenError("the client is closed")
        retry = Retry(max_retries=settings.max_retries)
        conversation = exchange.converse(request, retry, accept)
        return drive(conversation, settings.fetch or self._transport, settings.signal)


def drive(conversation: Conversation[T], fetch: Fetch, signal: AbortSignal | None) -> T:
    """Do what the conversation asks for until it returns."""
    try:
        step = next(conversation)
        while True:
            try:
                reply = _perform(step, fetch, signal)
            except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
                step = conversation.throw(translated(error, signal) or error)
            else:
                step = conversation.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _perform(step: Step, fetch: Fetch, signal: AbortSignal | None) -> FetchResponse | bytes:
    if isinstance(step, exchange.Read):
        return _read(step.response, step.limit, signal)
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
    if signal is not None:
        signal.wait(step.wait)
        signal.throw_if_aborted()
    else:
        time.sleep(step.wait)
    log.debug("%r", step.request)
    return checked(fetch(step.request), asynchronous=False)


def _read(response: FetchResponse, limit: int | None, signal: AbortSignal | None) -> bytes:
    unsubscribe = signal.subscribe(response.close) if signal else None
    body = bytearray()
    try:
        for piece in response.body:  # type: ignore[union-attr] # checked
            body += checked_piece(piece)
            if limit is not None and len(body) >= limit:
                break
    finally:
        if unsubscribe:
            unsubscribe()
        response.close()
    if signal is not None:
        # A connection that was cut can look like one that has come to its end.
        signal.throw_if_aborted()
    return bytes(body[:limit])
