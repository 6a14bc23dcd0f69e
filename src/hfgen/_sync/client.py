"""`Client`: the four verbs, sync."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hfgen._core.verbs import Chunks, RawBytes, Run, Texts
from hfgen._options import (
    CallOptions,
    ClientOptions,
    Options,
    override_settings,
    refuse_resume,
    show_options,
)
from hfgen._sync.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Unpack

    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._core.answers import Chunk, GeneratedText, ServerInfo, SimpleToken
    from hfgen._core.request import AnyRequest, RequestLike
    from hfgen._sync.bulk import Bulk
    from hfgen._sync.stream import Stream

Row = TypeVar("Row")


class Client:
    """The four verbs, with options and a pool of connections for many calls.

    Each call takes the same options, which override the client's. Threads may share a client.
    Pickled, a client is its options, the key among them; a copy has connections of its own.

    Args:
        **options: See `Options`; and `proxy` and `ssl`, see `ClientOptions`.

    Raises:
        TypeError: There is no option of that name.
        InvalidRequestError: An option's value cannot be used.
    """

    @show_options(ClientOptions)
    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._session = Session(options)

    @show_options(Options)
    def run(self, request: RequestLike, **options: Unpack[Options]) -> list[GeneratedText]:
        """Generate, and return the whole answer.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Returns:
            One `GeneratedText`, or `num_return_sequences` of them.

        Raises:
            InvalidRequestError: The request or an option cannot be sent.
            StatusError: The server answered with an error; see its subclasses.
            ConnectError: There was no connection to the server, or it broke.
            TimeoutError: A limit of `timeout` passed.
            AbortError: `signal` was aborted.
            IncompleteGenerationError: The server broke the generation off.
            ContentFilterError: The server held back the rest of the text under its policy.
            MalformedAnswerError: The answer is not of a known form, or has fewer texts than
                `num_return_sequences` asks for.
        """
        refuse_resume(options)
        return self._session.run(Run, request, options)

    @show_options(Options)
    def stream(self, request: RequestLike, **options: Unpack[Options]) -> Stream[Chunk]:
        """Generate, and return a stream of `Chunk`s, one a token.

        When this returns, the server has accepted the request and the answer has begun.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Raises:
            HfgenError: As from `run`, by this call. The stream raises these errors, too, and
                `IncompleteGenerationError` if the answer ends before its last event, and
                `MalformedStreamError`; each has the `text` so far.
            StreamingNotSupportedError: The model cannot stream.
        """
        return self._session.open(Chunks, request, options)

    @show_options(Options)
    def stream_tokens(self, request: RequestLike, **options: Unpack[Options]) -> Stream[str]:
        """Generate, and return a stream of the texts of the tokens.

        Special tokens (`</s>`, `<|eot_id|>`) are left out. The texts, joined, are the generated
        text.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Raises:
            HfgenError: As from `stream`.
        """
        return self._session.open(Texts, request, options)

    @show_options(Options)
    def stream_bytes(self, request: RequestLike, **options: Unpack[Options]) -> Stream[bytes]:
        """Generate, and return the body of the server's stream as it arrives, undecoded.

        Errors that the server reports inside the body are not raised.

        Args:
            request: A mapping (see `GenerationRequest`) or a prompt.
            **options: See `Options`; they override the client's.

        Raises:
            HfgenError: As from `run`, by this call. The stream raises `ConnectError` if the
                connection breaks.
        """
        refuse_resume(options)
        return self._session.open(RawBytes, request, options)

    @show_options(CallOptions)
    def info(self, **options: Unpack[CallOptions]) -> ServerInfo:
        """Return what the server is and which model it serves.

        Reads `/info` of TGI, or `/v1/models` and the other routes that a server has for this.

        Args:
            **options: See `Options`; they override the client's. `api_url` may be any of the
                server's routes.

        Raises:
            NotFoundError: The server has none of these routes.
            HfgenError: As from `run`.
        """
        from hfgen._core.server_info import read_info  # noqa: PLC0415 - few programs ask

        return self._session.drive(read_info, override_settings(self._session.settings, options))

    @show_options(CallOptions)
    def tokenize(self, text: str, **options: Unpack[CallOptions]) -> list[SimpleToken]:
        """Return the tokens of a text, special ones included, from the server's `/tokenize`.

        Args:
            text: The text.
            **options: See `Options`; they override the client's. `api_url` may be any of the
                server's routes.

        Returns:
            The tokens in order, each with its id, text and offsets; SGLang gives ids only. Tokens
            inside one character have the offsets of that character.

        Raises:
            InvalidRequestError: A server of this kind has no such route.
            HfgenError: As from `run`.
        """
        from hfgen._core.server_info import tokenize  # noqa: PLC0415 - few programs ask

        settings = override_settings(self._session.settings, options)
        return self._session.drive(partial(tokenize, text), settings)

    @show_options(Options)
    def generate_many(
        self,
        rows: Iterable[Row],
        *,
        request: Callable[[Row], AnyRequest] | None = None,
        concurrency: int | tuple[int, int] = (1, 64),
        rate_limit: RateLimit | None = None,
        api_urls: Sequence[str] | None = None,
        ordered: bool = False,
        stream: bool = True,
        patience: float = 600.0,
        **options: Unpack[Options],
    ) -> Bulk[Row]:
        """Generate for each row, many at once, and return the results as they are ready.

        A row that fails has an `error` in its result, and the run goes on. A row is retried even
        after its first token. `signal` ends the whole run; `timeout` applies to each attempt.

        Args:
            rows: The rows. They are read only as fast as they are processed.
            request: Makes the request of a row (see `run`). An exception that it raises becomes the
                error of that row. None, the default, means that each row is a request.
            concurrency: The number of concurrent requests, or the numbers to begin with and at
                most; in between it adapts to what the servers take. If they refuse requests because
                of their load, there are fewer. By default (1, 64).
            rate_limit: The most requests and tokens a minute; None, the default, for no limit.
            api_urls: Several servers, in place of `api_url`; each request goes to the least busy.
            ordered: Whether results come in the order of the rows. By default they do not.
            stream: Whether to read answers as streams, which gives the time to the first token. By
                default yes.
            patience: Seconds during which a row is tried again that servers refuse because of their
                load (429, 503), from the first refusal on; then it gets an error. By default 600;
                `float("inf")` for no limit.
            **options: See `Options`; they override the client's. A model and parameters are for
                rows that leave them out. A 403 or 404 is the error of the row if the row names
                another model, otherwise of the server.

        Raises:
            InvalidRequestError: An argument cannot be used, by this call. The iteration raises
                errors that are not about one row: an abort, an exception from `rows`, and, before
                any server has answered, that all of them refuse or cannot be reached.
        """
        from hfgen._bulk.plan import BulkPlan, check_rows  # noqa: PLC0415 - few programs need it
        from hfgen._sync.bulk import Bulk  # noqa: PLC0415

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
        return Bulk(session, check_rows(rows), request, plan)

    @show_options(Options)
    def with_options(self, **options: Unpack[Options]) -> Client:
        """Return a client with these options over this one's, on the same connections.

        The connections stay this client's: they close with it, not with the new one.
        """
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__, _session=self._session.with_options(options))
        return client

    def close(self) -> None:
        """Close the idle connections; further calls raise `HfgenError`. Streams go on."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # The options in place of connections and locks, which belong to this process.
        return {**self.__dict__, "_session": self._session.collect_options()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _session=Session(state["_session"]))

    def __repr__(self) -> str:
        return f"Client({self._session.settings!r})"
