"""The sync side: the client, and the driver that does what the conversation asks for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hfgen import _url
from hfgen._boundary import checked, checked_piece, translated
from hfgen._call import DIALECT, fetch_request, get_request
from hfgen._connecting import split
from hfgen._core import exchange
from hfgen._core.decoder import token_text, whole_chunk
from hfgen._core.resume import Resumption
from hfgen._errors import HfgenError
from hfgen._interrupt import Interrupt
from hfgen._options import ClientOptions, Options, Settings, refuse_resume
from hfgen._request import normalise
from hfgen._sync_stream import Stream
from hfgen._watchdog import end, watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Unpack

    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.exchange import Accept, Conversation, Opened, Step
    from hfgen._fetch import Fetch, FetchRequest, FetchResponse
    from hfgen._options import OnRetry
    from hfgen._request import RequestLike

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
        refuse_resume(options)
        settings, body = self._settings.override(options), normalise(request)
        call = _begin(settings)
        try:
            asked = fetch_request(body, settings, call, stream=False)
            return self._converse(asked, settings, exchange.answers(DIALECT), call)
        finally:
            end(call)

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
        return self._open_items(request, options, whole_chunk)

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
        return self._open_items(request, options, token_text)

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
        refuse_resume(options)
        settings, body = self._settings.override(options), normalise(request)
        return self._open(body, settings, exchange.raw(DIALECT), None)

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

    def _open_items(
        self, request: RequestLike, options: Options, select: Callable[[Chunk], T | None]
    ) -> Stream[T]:
        settings, body = self._settings.override(options), normalise(request)
        if not settings.resume:
            return self._open(body, settings, exchange.items(DIALECT, select), None)
        resumption = Resumption(body)
        taking = exchange.items(DIALECT, lambda chunk: select(resumption.take(chunk)))
        return self._open(body, settings, taking, resumption)

    def _open(
        self,
        body: Mapping[str, Any],
        settings: Settings,
        accept: Accept[Opened[T]],
        resumption: Resumption | None,
    ) -> Stream[T]:
        call = _begin(settings)

        def opened(body: Mapping[str, Any], after: HfgenError | None = None) -> Opened[T]:
            request = fetch_request(body, settings, call, stream=True)
            return self._converse(request, settings, accept, call, after)

        def reopen(error: HfgenError) -> Opened[T] | None:
            broken = resumption.broken(error) if resumption is not None else None
            if resumption is None or broken is None:
                return None
            rest, failure = broken
            try:
                return opened(rest, failure)
            except HfgenError as last:
                resumption.given_up(last, failure)
                return None

        try:
            return Stream(opened(body), call, reopen)
        except BaseException:
            end(call)
            raise

    def _get(self, url: str) -> bytes:
        _url.check(url, "the URL")
        call = _begin(self._settings)
        try:
            request = get_request(url, self._settings, call)
            return self._converse(request, self._settings, exchange.body, call)
        finally:
            end(call)

    def _converse(
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
        return drive(conversation, fetch, call, settings.on_retry)


def _begin(settings: Settings) -> Interrupt:
    call = Interrupt(settings.timeout, settings.signal)
    watchdog.watch(call)
    return call


def drive(
    conversation: Conversation[T], fetch: Fetch, call: Interrupt, on_retry: OnRetry | None
) -> T:
    """Do what the conversation asks for until it returns."""
    try:
        step = next(conversation)
        while True:
            try:
                reply = _perform(step, fetch, call, on_retry)
            except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
                step = conversation.throw(translated(error, call) or error)
            else:
                step = conversation.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _perform(step: Step, fetch: Fetch, call: Interrupt, on_retry: OnRetry | None) -> Any:
    match step:
        case exchange.Send():
            return _send(step, fetch, call, on_retry)
        case exchange.Read():
            return _read(step.response, step.limit, call)
        case exchange.Peek():
            return _peek(step.response, call)
        case exchange.Drop():
            return step.response.close()
        case exchange.Elapsed():
            return call.elapsed


def _send(
    step: exchange.Send, fetch: Fetch, call: Interrupt, on_retry: OnRetry | None
) -> FetchResponse:
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
        if on_retry is not None:
            on_retry(step.retries, step.wait, step.error)
        call.rest()
        if step.wait:
            call.wait(step.wait)
    call.throw_if_aborted()
    call.expect_first()
    log.debug("%r", step.request)
    return checked(fetch(step.request), asynchronous=False)


def _peek(response: FetchResponse, call: Interrupt) -> bytes | None:
    unsubscribe = call.subscribe(response.close)
    try:
        piece = next(response.body, None)  # type: ignore[call-overload] # checked
    finally:
        unsubscribe()
    # A connection that was cut can look like one that has come to its end.
    call.throw_if_aborted()
    return None if piece is None else checked_piece(piece)


def _read(response: FetchResponse, limit: int | None, call: Interrupt) -> bytes:
    unsubscribe = call.subscribe(response.close)
    body = bytearray()
    try:
        for piece in response.body:  # type: ignore[union-attr] # checked
            body += checked_piece(piece)
            if limit is not None and len(body) >= limit:
                break
    finally:
        unsubscribe()
        response.close()
    call.throw_if_aborted()
    return bytes(body[:limit])
