"""A call, before it is known where it goes: the same for sync and async."""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from hfgen._core import conversation as exchange
from hfgen._core import discovery
from hfgen._core import url as _url
from hfgen._core import verbs as accept
from hfgen._core.body import token_text
from hfgen._core.dialects.tgi import TGI
from hfgen._core.errors import InvalidRequestError
from hfgen._core.fetch import FetchRequest
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.resume import Resumption
from hfgen._core.routing import plan
from hfgen._io.credentials import ambient_key, tracking_allowed
from hfgen._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hfgen._core.answers import Chunk, GeneratedText
    from hfgen._core.conversation import Accept, Conversation, Opened
    from hfgen._core.dialects.base import Dialect
    from hfgen._core.errors import HfgenError
    from hfgen._core.routing import Plan
    from hfgen._core.target import Get, Target
    from hfgen._core.timeout import Timeout
    from hfgen._io.signal import AbortSignal
    from hfgen._options import Settings

T = TypeVar("T")


class Call(msgspec.Struct, Generic[T], frozen=True):
    """What is asked for, and how its answer is read.

    Attributes:
        request: The request, normalised.
        settings: Where it goes, and how.
        stream: Whether a stream is asked for.
        accept: What becomes of the answer, in the dialect in which it comes.
        counted: Whether the answer is to say why it ended and how long it is, wherever a server
            says so only if it is asked.
    """

    request: Mapping[str, Any]
    settings: Settings
    stream: bool
    accept: Callable[[Dialect], Accept[T]]
    counted: bool = False

    def plan(self) -> Plan:
        """Return where it goes.

        Raises:
            InvalidRequestError: The options contradict each other, or miss something.
        """
        found = plan(self.settings, self.request)
        if (ask := found.find) is None:
            return found

        def find(get: Get) -> Conversation[tuple[Target, ...]]:
            # Before anything is asked: what cannot be written in one dialect cannot in another.
            TGI(self.request).body(stream=self.stream)
            return ask(get)

        return found._replace(find=find)

    def converse(
        self, targets: tuple[Target, ...], signal: AbortSignal, after: HfgenError | None = None
    ) -> Conversation[tuple[Target, T]]:
        """Ask at one of these places; return which one took it, and what came of it."""

        def attempt(target: Target) -> Conversation[T]:
            dialect = target.put(self.request, counted=self.counted)
            request = post_request(
                target.place(stream=self.stream),
                dialect.body(stream=self.stream),
                self.settings,
                signal,
                stream=self.stream,
            )
            accept = self.accept(dialect)
            return exchange.converse(request, self.settings.retry, accept, after=after)

        return discovery.first(targets, attempt)


def running(request: Mapping[str, Any], settings: Settings) -> Call[list[GeneratedText]]:
    """Return the call of `run`."""
    most = settings.max_event_bytes
    return Call(request, settings, False, lambda dialect: accept.answers(dialect, most))


def streaming_bytes(request: Mapping[str, Any], settings: Settings) -> Call[Opened[bytes]]:
    """Return the call of `stream_bytes`."""
    most = settings.max_event_bytes
    return Call(request, settings, True, lambda dialect: accept.raw(dialect, most))


def streaming(
    request: Mapping[str, Any], settings: Settings, select: Callable[[Chunk], T | None]
) -> tuple[Call[Opened[T]], Resumption | None]:
    """Return the call of a stream of items, and what picks it up if that is wanted.

    Raises:
        InvalidRequestError: There are to be several texts, and no telling them apart.
    """
    parameters = request.get("parameters") or {}
    if select is token_text and (parameters.get("num_return_sequences") or 1) > 1:
        raise InvalidRequestError(
            "stream_tokens gives one text; for several (num_return_sequences) use run, or stream, "
            "whose chunks say in `sequence` which one they belong to"
        )
    resumption = Resumption(request) if settings.resume else None
    chosen = select
    if resumption is not None:

        def chosen(chunk: Chunk) -> T | None:
            return select(resumption.take(chunk))

    most = settings.max_event_bytes
    call = Call(request, settings, True, lambda dialect: accept.items(dialect, chosen, most))
    return call, resumption


def finding(
    plan: Plan, settings: Settings, signal: AbortSignal
) -> Conversation[tuple[Target, ...]]:
    """Return what finds out where a call goes.

    Raises:
        InvalidRequestError: The request cannot be sent anywhere.
    """
    assert plan.find is not None
    return plan.find(lambda url: get_request(url, settings, signal, of_hub=plan.of_hub))


def get_request(
    url: str, settings: Settings, signal: AbortSignal, *, of_hub: bool = False
) -> FetchRequest:
    """Return the HTTP request that reads something from a server, or from the Hub."""
    if of_hub:
        # Neither a provider's own key nor who pays is the Hub's business.
        key = settings.api_key if (settings.api_key or "").startswith("hf_") else None
        settings = replace(settings, api_key=key, bill_to=None, headers=NO_HEADERS)
    headers = {n: v for n, v in _headers(url, settings).items() if n != "content-type"}
    return _request(url, Headers(headers), settings, signal)


def post_request(
    url: str, body: bytes, settings: Settings, signal: AbortSignal, *, stream: bool = False
) -> FetchRequest:
    """Return the HTTP request that posts something to a server."""
    return _request(url, _headers(url, settings, stream=stream), settings, signal, body)


def _request(
    url: str,
    headers: Headers,
    settings: Settings,
    signal: AbortSignal,
    body: bytes | None = None,
) -> FetchRequest:
    return FetchRequest(
        method="GET" if body is None else "POST",
        url=url,
        headers=headers,
        body=body or b"",
        timeout=_silence(settings.timeout),
        connect_timeout=settings.timeout.connect,
        signal=signal,
    )


def _silence(timeout: Timeout) -> float | None:
    if timeout.first_token is None or timeout.between_tokens is None:
        return None
    return max(timeout.first_token, timeout.between_tokens)


def _headers(url: str, settings: Settings, *, stream: bool = False) -> Headers:
    headers = {
        "accept": "text/event-stream, application/json" if stream else "application/json",
        # An event must not wait for the block of a compressor to fill.
        "accept-encoding": "identity",
        "user-agent": user_agent(),
    }
    if settings.retry.wait_for_model and _url.is_endpoint(url):
        # The proxy in front of an endpoint that sleeps holds the request so many seconds.
        headers["x-scale-up-timeout"] = str(math.ceil(settings.retry.wait_for_model))
    if key := settings.api_key or ambient_key(url):
        headers["authorization"] = f"Bearer {key}"
    if settings.bill_to is not None:
        if not _url.is_router(url):
            raise InvalidRequestError(
                f"bill_to is for Hugging Face's router; this goes to {_url.display(url)}"
            )
        headers["x-hf-bill-to"] = settings.bill_to
    return Headers({**headers, **settings.headers, "content-type": "application/json"})


@cache
def user_agent() -> str:
    """Return how hfgen names itself; what it may say is looked up once a process."""
    agent = f"hfgen/{__version__}"
    if not tracking_allowed():
        return agent
    return f"{agent}; python/{'.'.join(map(str, sys.version_info[:3]))}"
