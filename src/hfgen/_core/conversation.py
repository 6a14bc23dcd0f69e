"""`converse`: the conversation with a server until it has answered, as a generator. No I/O.

1. It yields `Send`. The driver makes the HTTP request, and sends the `FetchResponse` back.
2. A redirect is followed with another `Send`.
3. An answer with a good status goes to the verb's `accept`, whose result the conversation returns.
   `accept` yields `Read`, `Peek` or `Drop` to read as much of the body as it needs.
4. Another status becomes an error. So does an error that the driver throws in, or `accept` raises.
5. After an error `Retry` decides: the conversation yields another `Send`, with a wait, or raises.

The drivers for sync and async (`_sync.driver`, `_async.driver`) run the same conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import urljoin

import msgspec
from msgspec.structs import replace

from hfgen._core import server_errors
from hfgen._core.errors import (
    ConnectError,
    HfgenError,
    ModelLoadingError,
    StatusError,
    TimeoutError,  # noqa: A004
    drop_tracebacks,
    hide_secrets,
)
from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._core.headers import Headers, find_secrets
from hfgen._core.url import check_url, encode_url, is_endpoint, may_carry_credentials, redact_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hfgen._core.body import Decoder
    from hfgen._core.retry import Retry

T = TypeVar("T")

_MAX_REDIRECTS = 5
MAX_ERROR_BYTES = 1024 * 1024
# A POST stays a POST only under these two (RFC 9110, 15.4).
_REDIRECTS = frozenset({307, 308})
# The statuses that the proxy in front of an endpoint answers with while the endpoint starts.
_WAKING = frozenset({502, 503})
# Headers that hfgen sets itself, and sends to any host after a redirect. Others may be secret.
_OWN_HEADERS = frozenset({"accept", "accept-encoding", "content-type", "user-agent"})


class Send(msgspec.Struct, frozen=True):
    """Wait, make the request, and send back the `FetchResponse`.

    Attributes:
        request: The request.
        wait: Seconds to wait before.
        retries: How many attempts came before.
        error: Why the last of them failed.
    """

    request: FetchRequest
    wait: float = 0.0
    retries: int = 0
    error: HfgenError | None = None


class Read(msgspec.Struct, frozen=True):
    """Read at most `limit` bytes of the body, close the response, and send the bytes back."""

    response: FetchResponse
    limit: int


class Peek(msgspec.Struct, frozen=True):
    """Send back the next piece of the body, None at its end."""

    response: FetchResponse


class Drop(msgspec.Struct, frozen=True):
    """Close the response."""

    response: FetchResponse


class Ask(msgspec.Struct, frozen=True):
    """Send back the result of a conversation that many calls need; the driver holds it once.

    Attributes:
        key: Calls with an equal key share the result.
        caller: Calls for which this is equal too share a failure.
        begin: Returns the conversation.
    """

    key: Hashable
    caller: Hashable
    begin: Callable[[], Conversation[Any]]


class Opened(msgspec.Struct, Generic[T], frozen=True):
    """A stream that has been opened.

    Attributes:
        response: The answer. The rest of its body is to be read.
        decoder: Turns the rest of the body into items.
        ready: Items of the part of the body that has been read already.
        break_error: If reading the body failed after these items, the error.
    """

    response: FetchResponse
    decoder: Decoder[T]
    ready: Iterable[T] = ()
    break_error: HfgenError | None = None


class Clock(Protocol):
    """The clock of a call, passed in because the core reads no clock."""

    def elapsed(self) -> float:
        """Return the seconds since the call began."""

    def now(self) -> float:
        """Return the seconds since 1970."""


Step: TypeAlias = Send | Read | Peek | Drop | Ask
Conversation: TypeAlias = Generator[Step, Any, T]
WillRetry: TypeAlias = Callable[[HfgenError], bool]
"""Tells whether the call will be tried again after an error."""
Accept: TypeAlias = Callable[[WillRetry, FetchResponse], Conversation[T]]
"""Reads an answer with a good status, and returns the result of the conversation."""


def converse(
    request: FetchRequest,
    retry: Retry,
    accept: Accept[T],
    clock: Clock,
    *,
    after: HfgenError | None = None,
) -> Conversation[T]:
    """Send the request until it is answered or `retry` gives up; return what `accept` returns.

    Args:
        request: The request.
        retry: Decides whether and when to try again.
        accept: Reads an answer that has a good status.
        clock: The clock of the call.
        after: A failure that came before and counts as an attempt.

    Raises:
        HfgenError: The error of the last attempt.
    """
    retries = attempts = 0
    error = after
    while True:
        send = Send(request)
        if error is not None:
            elapsed = clock.elapsed()
            wait = retry.wait(retries, error, elapsed)
            if wait is None:
                raise _mention_requested_wait(error, retry)
            drop_tracebacks(error)
            attempts += 1
            retries += not retry.waits_for_model(error, elapsed)
            send = Send(request, wait, attempts, error)
        try:
            response = yield from _send_and_follow(send)
            if not 200 <= response.status < 300:  # noqa: PLR2004 - the statuses of success
                raise (yield from _read_status_error(request, response, clock))
            return (yield from accept(partial(_will_retry, retry, retries, clock), response))
        except HfgenError as failure:
            hide_secrets(failure, find_secrets(request.headers))
            error = failure


def _will_retry(retry: Retry, retries: int, clock: Clock, error: HfgenError) -> bool:
    return retry.wait(retries, error, clock.elapsed()) is not None


def _mention_requested_wait(error: HfgenError, retry: Retry) -> HfgenError:
    requested = retry.find_requested_wait(error)
    if requested is not None and requested > retry.max_wait:
        add_hint(
            error, f"the server asks to be left alone for {requested:g} s; max_wait allows less"
        )
    return error


def _send_and_follow(send: Send) -> Conversation[FetchResponse]:
    """Send a request, and follow redirects. Credentials go to no other origin than the first."""
    for _ in range(_MAX_REDIRECTS + 1):
        response: FetchResponse = yield send
        if response.status not in _REDIRECTS:
            return response
        location = Headers(response.headers).get("location")
        if not location:
            return response
        yield from _read_error_body(response)
        source = send.request.url
        try:
            target = urljoin(source, location)
            check_url(target, "the location")
            target = encode_url(target)
        except ValueError as error:
            raise StatusError(
                f"{response.status}: the server redirects, but {error}",
                status=response.status,
                headers=response.headers,
            ) from None
        headers = send.request.headers
        if not may_carry_credentials(source, target):
            headers = {name: headers[name] for name in headers if name in _OWN_HEADERS}
        send = Send(replace(send.request, url=target, headers=Headers(headers)))
    raise StatusError(
        f"the server redirects more than {_MAX_REDIRECTS} times, "
        f"at last to {redact_url(send.request.url)}",
        status=response.status,
        headers=response.headers,
    )


def _read_error_body(response: FetchResponse) -> Conversation[bytes]:
    """Read the body of an error. If that fails return nothing, since the status says enough."""
    try:
        content: bytes = yield Read(response, MAX_ERROR_BYTES)
    except (ConnectError, TimeoutError):
        return b""
    return content


def _read_status_error(
    request: FetchRequest, response: FetchResponse, clock: Clock
) -> Conversation[StatusError]:
    content = yield from _read_error_body(response)
    headers = Headers(response.headers)
    error = server_errors.make_status_error(
        server_errors.parse_body_error(content),
        status=response.status,
        headers=headers,
        body=content,
        received=clock.now(),
    )
    is_waking = response.status in _WAKING and is_endpoint(request.url)
    if is_waking and not isinstance(error, ModelLoadingError):
        return ModelLoadingError(
            f"{error.message} (the endpoint may be waking up; wait_for_model= waits for it)",
            status=response.status,
            headers=headers,
            body=content,
            error_type=error.error_type,
            received=clock.now(),
        )
    hint = ""
    if 300 <= response.status < 400:  # noqa: PLR2004 - the statuses of redirection
        hint = f"it points to {headers.get('location')!r}; pass that as api_url if it is right"
    elif response.status == 401 and "authorization" not in request.headers:  # noqa: PLR2004
        hint = (
            "no key was sent: pass api_key=, or set HFGEN_API_KEY for the server of HFGEN_API_URL, "
            "or HF_TOKEN for Hugging Face's own hosts"
        )
    elif response.status in {404, 405, 410}:
        hint = f"the request went to {redact_url(request.url)}"
    if hint:
        add_hint(error, hint)
    return error


def add_hint(error: HfgenError, hint: str) -> None:
    """Add a hint, in brackets, to the message of an error."""
    error.message = f"{error.message} ({hint})"
    error.args = (error.message, *error.args[1:])
