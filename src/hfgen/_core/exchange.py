"""The conversation up to the first byte of an answer: send, judge, wait, send again. No I/O.

It is one generator for sync and async. It yields what is to be done (`Send`, `Read`), is sent
what came of it or is thrown the error, and returns what the caller wants or raises.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urljoin

from hfgen import _url
from hfgen._core import faults
from hfgen._core.decoder import Bytes, Decoder, Events, Whole, folded, whole_chunk
from hfgen._core.dialect import malformed
from hfgen._errors import (
    ConnectError,
    HfgenError,
    MalformedStreamError,
    StatusError,
    TimeoutError,  # noqa: A004
)
from hfgen._fetch import FetchRequest, FetchResponse
from hfgen._headers import Headers

if TYPE_CHECKING:
    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.dialect import Dialect
    from hfgen._retry import Retry

T = TypeVar("T")

_MAX_REDIRECTS = 5
_MAX_ERROR_BYTES = 1024 * 1024
# A POST stays a POST only under these two (RFC 9110, 15.4).
_REDIRECTS = frozenset({307, 308})
# What is hfgen's own and may follow a redirect anywhere; the caller's headers may be secrets.
_OWN_HEADERS = frozenset({"accept", "accept-encoding", "content-type", "user-agent"})


@dataclass(frozen=True, slots=True)
class Send:
    """Wait so many seconds, make the request, send back the `FetchResponse`."""

    request: FetchRequest
    wait: float = 0.0
    error: HfgenError | None = None
    """Why the attempt before failed, if there was one."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the body of the response, at most so many bytes of it, close it, send the bytes back."""

    response: FetchResponse
    limit: int | None = None


Step: TypeAlias = Send | Read
Conversation: TypeAlias = Generator[Step, Any, T]
# What becomes of an answer with a good status.
Accept: TypeAlias = Callable[[FetchResponse], Conversation[T]]
Opened: TypeAlias = tuple[FetchResponse, Decoder[T]]


def converse(request: FetchRequest, retry: Retry, accept: Accept[T]) -> Conversation[T]:
    """Send the request until it is answered, or the policy gives up; return what `accept` does.

    Once an answer has begun, only the server's word that it has done nothing is a reason to ask
    again: it may have generated, and would do so twice.

    Raises:
        HfgenError: The error of the last attempt.
    """
    retries = 0
    send = Send(request)
    while True:
        begun = False
        try:
            response = yield from _follow(send)
            if not 200 <= response.status < 300:  # noqa: PLR2004 - the statuses of success
                raise (yield from _refused(request, response))
            begun = True
            return (yield from accept(response))
        except HfgenError as error:
            wait = retry.wait(retries, error)
            is_refusal = isinstance(error, StatusError) and not error.text
            if wait is None or (begun and not is_refusal):
                raise
            retries += 1
            send = Send(request, wait, error)


def answers(dialect: Dialect) -> Accept[list[GeneratedText]]:
    """Accept an answer as `run` returns it, also from a server that streams regardless."""

    def accept(response: FetchResponse) -> Conversation[list[GeneratedText]]:
        content: bytes = yield Read(response)
        headers = Headers(response.headers)
        if _media_type(headers) != "text/event-stream":
            return dialect.answers(content, headers)
        events: Events[Chunk] = Events(dialect, whole_chunk, headers)
        return [folded([*events.feed(content), *events.finish()])]

    return accept


def items(dialect: Dialect, select: Callable[[Chunk], T | None]) -> Accept[Opened[T]]:
    """Accept an answer as `stream` reads it, also from a server that does not stream."""

    def accept(response: FetchResponse) -> Conversation[Opened[T]]:
        headers = Headers(response.headers)
        media_type = _media_type(headers)
        if media_type == "text/html":
            page: bytes = yield Read(response, _MAX_ERROR_BYTES)
            raise malformed(page, "the server answered with a web page", MalformedStreamError)
        is_json = media_type == "application/json" or media_type.endswith("+json")
        return response, (Whole if is_json else Events)(dialect, select, headers)

    return accept


def body(response: FetchResponse) -> Conversation[bytes]:
    """Accept an answer as nothing but its body."""
    content: bytes = yield Read(response)
    return content


def raw(response: FetchResponse) -> Conversation[Opened[bytes]]:
    """Accept an answer as `stream_bytes` hands it out."""
    yield from ()
    return response, Bytes()


def _follow(send: Send) -> Conversation[FetchResponse]:
    """Send, and follow redirects; credentials go no further than the host they were meant for."""
    for _ in range(_MAX_REDIRECTS + 1):
        response: FetchResponse = yield send
        location = Headers(response.headers).get("location")
        if response.status not in _REDIRECTS or not location:
            return response
        yield from _read_refusal(response)
        source = send.request.url
        try:
            target = urljoin(source, location)
            _url.check(target, "the location")
        except ValueError as error:
            raise StatusError(
                f"{response.status}: the server redirects, but {error}",
                status=response.status,
                headers=response.headers,
            ) from None
        headers = send.request.headers
        if not _url.may_carry_credentials(source, target):
            headers = {name: headers[name] for name in headers if name in _OWN_HEADERS}
        send = Send(replace(send.request, url=target, headers=Headers(headers)))
    raise StatusError(
        f"the server redirects more than {_MAX_REDIRECTS} times, "
        f"at last to {_url.display(send.request.url)}",
        status=response.status,
        headers=response.headers,
    )


def _read_refusal(response: FetchResponse) -> Conversation[bytes]:
    """Read a body that is no answer; without it the status says enough."""
    try:
        content: bytes = yield Read(response, _MAX_ERROR_BYTES)
    except (ConnectError, TimeoutError):
        return b""
    return content


def _refused(request: FetchRequest, response: FetchResponse) -> Conversation[StatusError]:
    content = yield from _read_refusal(response)
    headers = Headers(response.headers)
    error = faults.raised(
        faults.in_body(content), status=response.status, headers=headers, body=content
    )
    hint = ""
    if 300 <= response.status < 400:  # noqa: PLR2004 - the statuses of redirection
        hint = f"it points to {headers.get('location')!r}; pass that as api_url if it is right"
    elif response.status == 401 and "authorization" not in request.headers:  # noqa: PLR2004
        hint = "no key was sent: pass api_key=, or set HF_TOKEN for Hugging Face's own hosts"
    elif response.status in {404, 405, 410}:
        hint = f"the request went to {_url.display(request.url)}"
    if hint:
        error.message = f"{error.message} ({hint})"
        error.args = (error.message,)
    return error


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
