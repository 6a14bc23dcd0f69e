"""The sync side: the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from hfgen import _url
from hfgen._call import DIALECT, accepted_items, fetch_request, get_request
from hfgen._connecting import split
from hfgen._core import accept, exchange
from hfgen._core.decoder import token_text, whole_chunk
from hfgen._errors import HfgenError
from hfgen._interrupt import Interrupt
from hfgen._options import ClientOptions, Options, Settings, refuse_resume
from hfgen._request import normalise
from hfgen._sync_driver import drive
from hfgen._sync_stream import Stream
from hfgen._watchdog import end, watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Unpack

    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.exchange import Accept, Opened
    from hfgen._core.resume import Resumption
    from hfgen._fetch import FetchRequest
    from hfgen._request import RequestLike

T = TypeVar("T")


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
            return self._converse(
                asked, settings, accept.answers(DIALECT, settings.max_event_bytes), call
            )
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
        return self._open(body, settings, accept.raw(DIALECT, settings.max_event_bytes), None)

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
        return self._open(body, settings, *accepted_items(body, settings, select))

    def _open(
        self,
        body: Mapping[str, Any],
        settings: Settings,
        accepting: Accept[Opened[T]],
        resumption: Resumption | None,
    ) -> Stream[T]:
        call = _begin(settings)

        def opened(body: Mapping[str, Any], after: HfgenError | None = None) -> Opened[T]:
            request = fetch_request(body, settings, call, stream=True)
            return self._converse(request, settings, accepting, call, after)

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
            return self._converse(request, self._settings, accept.body, call)
        finally:
            end(call)

    def _converse(
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
        return drive(conversation, fetch, call, settings.on_retry)


def _begin(settings: Settings) -> Interrupt:
    call = Interrupt(settings.timeout, settings.signal)
    watchdog.watch(call)
    return call
