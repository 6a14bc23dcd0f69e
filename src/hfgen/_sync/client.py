"""`Client`: the four verbs, sync."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from hfgen._core.verbs import Chunks, RawBytes, Run, Texts
from hfgen._options import ClientOptions, Options, override_settings, refuse_resume
from hfgen._sync.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Unpack

    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._core.answers import Chunk, GeneratedText, ServerInfo, SimpleToken
    from hfgen._core.request import RequestLike
    from hfgen._sync.bulk import Bulk
    from hfgen._sync.stream import Stream

Row = TypeVar("Row")


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
        self._session = Session(options)

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
        return self._session.run(Run, request, options)

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
        return self._session.open(Chunks, request, options)

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
        return self._session.open(Texts, request, options)

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
        return self._session.open(RawBytes, request, options)

    def info(self, **options: Unpack[Options]) -> ServerInfo:
        """Ask the server what it is and what it serves.

        Asked are `/info`, which is TGI's, or `/v1/models` and what else the server has.

        Args:
            **options: See `Options`; they override the client's. `api_url` may be any of the
                server's routes.

        Raises:
            NotFoundError: The server does not say.
            HfgenError: As from `run`.
        """
        from hfgen._core.server_info import read_info  # noqa: PLC0415 - few programs ask

        return self._session.drive(read_info, override_settings(self._session.settings, options))

    def tokenize(self, text: str, **options: Unpack[Options]) -> list[SimpleToken]:
        """Ask the server for the tokens of a text, special ones included (`/tokenize`).

        Args:
            text: The text.
            **options: See `Options`; they override the client's. `api_url` may be any of the
                server's routes.

        Returns:
            The tokens in order, each with id, text and place; of SGLang with its id alone. Tokens
            inside one character share its place.

        Raises:
            InvalidRequestError: The server is not known to have such a route.
            HfgenError: As from `run`.
        """
        from hfgen._core.server_info import tokenize  # noqa: PLC0415 - few programs ask

        settings = override_settings(self._session.settings, options)
        return self._session.drive(partial(tokenize, text), settings)

    def generate_many(
        self,
        rows: Iterable[Row],
        *,
        request: Callable[[Row], RequestLike] | None = None,
        model: str | None = None,
        concurrency: int | tuple[int, int] = (1, 64),
        rate_limit: RateLimit | None = None,
        api_urls: Sequence[str] | None = None,
        ordered: bool = False,
        stream: bool = True,
        **options: Unpack[Options],
    ) -> Bulk[Row]:
        """Generate for every row, many at once, and return the results as they come.

        What goes wrong with a row is its result's `error`; retries are for each row, and also after
        its first token. `signal` ends the whole, `timeout` is for each attempt.

        Args:
            rows: The rows, taken only as fast as they are worked on.
            request: Makes the request of a row (see `run`); None if the row is one. What it raises
                is that row's error.
            model: The model of rows that name none. With a model of its own, a row's 403 or 404 is
                its error; otherwise the server's.
            concurrency: How many requests at once: a number, or the least and the most, between
                which it is found out what the servers take.
            rate_limit: How many requests and tokens a minute; None for no limit.
            api_urls: Several servers, in place of `api_url`; each request goes to the least busy.
            ordered: Whether results come in the order of the rows.
            stream: Whether answers are read as streams, which tells the time to the first token.
            **options: See `Options`; they override the client's.

        Raises:
            InvalidRequestError: An argument cannot be used, by this call. The iteration raises what
                is no row's fault: an abort, what `rows` raises, and until a server has answered,
                that all refuse or cannot be reached.
        """
        from hfgen._bulk.plan import BulkPlan, check_rows  # noqa: PLC0415 - few programs are for it
        from hfgen._sync.bulk import Bulk  # noqa: PLC0415

        refuse_resume(options)
        session = self._session.with_options(options)
        plan = BulkPlan.from_arguments(
            session.settings,
            model=model,
            concurrency=concurrency,
            rate_limit=rate_limit,
            api_urls=api_urls,
            ordered=ordered,
            stream=stream,
        )
        return Bulk(session, check_rows(rows), request, plan)

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

    def __repr__(self) -> str:
        return f"Client({self._session.settings!r})"
