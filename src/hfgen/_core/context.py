"""`CallContext`: what a call depends on beside its request. It makes the HTTP requests."""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from hfgen._core.errors import InvalidRequestError
from hfgen._core.fetch import FetchRequest
from hfgen._core.headers import NO_HEADERS, Headers, find_secrets
from hfgen._core.retry import MAX_WAIT
from hfgen._core.url import is_endpoint, is_router, redact_url

if TYPE_CHECKING:
    from collections.abc import Hashable

    from hfgen._core.conversation import Clock
    from hfgen._core.settings import Settings
    from hfgen._core.target import Target
    from hfgen._core.timeout import Timeout
    from hfgen._io.signal import AbortSignal


_HUGGING_FACE = "https://huggingface.co/"


class Environment(Protocol):
    """Settings from the environment of the process; `hfgen._io.environment` reads them.

    Attributes:
        api_url: The URL to post to if no option names one, None if it is not set.
        hub_url: The URL of the Hugging Face Hub, without a slash at its end.
        user_agent: The value of the header `user-agent`.
    """

    @property
    def api_url(self) -> str | None: ...

    @property
    def hub_url(self) -> str: ...

    @property
    def user_agent(self) -> str: ...

    def find_key(self, url: str, api_url: str | None = None) -> str | None:
        """Return the key that may be sent to this URL, None if there is none.

        Args:
            url: The URL of a request.
            api_url: The server that the caller names, None if the caller names none.
        """


class CallContext(msgspec.Struct, frozen=True):
    """What a call depends on beside its request.

    Attributes:
        settings: The options of the call.
        environment: The settings from the environment.
        signal: Aborted when the call is over. The HTTP requests of the call carry it.
        clock: The clock of the call.
        targets: The targets that servers were asked for, by the key of their `Plan`. All calls of
            a client share this dict.
    """

    settings: Settings
    environment: Environment
    signal: AbortSignal
    clock: Clock
    targets: dict[Hashable, tuple[Target, ...]]

    def make_get_request(self, url: str) -> FetchRequest:
        """Return a GET request for a document of a server.

        Raises:
            InvalidRequestError: The options do not fit the URL.
        """
        headers = {n: v for n, v in self._make_headers(url).items() if n != "content-type"}
        return self._make_request(url, Headers(headers))

    def make_hub_request(self, url: str) -> FetchRequest:
        """Return a GET request for a document of the Hub.

        The Hub gets keys of Hugging Face only: no provider's key, and none of the caller's headers.
        """
        key = self.settings.api_key
        settings = replace(
            self.settings,
            api_key=key if key is not None and key.startswith("hf_") else None,
            bill_to=None,
            headers=NO_HEADERS,
        )
        return replace(self, settings=settings).make_get_request(url)

    def make_post_request(self, url: str, body: bytes, *, stream: bool = False) -> FetchRequest:
        """Return a POST request that sends a body to a server.

        Raises:
            InvalidRequestError: The options do not fit the URL.
        """
        return self._make_request(url, self._make_headers(url, stream=stream), body)

    def find_secrets(self) -> list[str]:
        """Return the key, and the values of headers that may be secret."""
        settings, environment = self.settings, self.environment
        keys = [settings.api_key]
        if settings.api_key is None:
            for url in (_HUGGING_FACE, settings.api_url or environment.api_url or _HUGGING_FACE):
                # A key that cannot be sent has not been sent.
                with suppress(InvalidRequestError):
                    keys.append(environment.find_key(url, settings.api_url))
        secrets = [find_secrets({"authorization": key}) for key in keys if key]
        return [*chain.from_iterable(secrets), *find_secrets(settings.headers)]

    def _make_request(self, url: str, headers: Headers, body: bytes | None = None) -> FetchRequest:
        timeout = self.settings.timeout
        return FetchRequest(
            method="GET" if body is None else "POST",
            url=url,
            headers=headers,
            body=body or b"",
            timeout=_find_longest_silence(timeout),
            connect_timeout=timeout.connect,
            signal=self.signal,
        )

    def _make_headers(self, url: str, *, stream: bool = False) -> Headers:
        settings = self.settings
        headers = {
            # A stream has two types, since a server may answer with JSON. They are not listed:
            # the Inference Toolkit refuses a list, and `text/event-stream` too.
            "accept": "*/*" if stream else "application/json",
            # A server that compresses would hold events back until a block is full.
            "accept-encoding": "identity",
            "user-agent": self.environment.user_agent,
        }
        if settings.retry.wait_for_model and is_endpoint(url):
            # The proxy in front of a sleeping endpoint holds the request for this many seconds.
            seconds = min(settings.retry.wait_for_model, MAX_WAIT)
            headers["x-scale-up-timeout"] = str(math.ceil(seconds))
        if key := settings.api_key or self.environment.find_key(url, settings.api_url):
            headers["authorization"] = f"Bearer {key}"
        if settings.bill_to is not None:
            if not is_router(url):
                raise InvalidRequestError(
                    f"bill_to is for Hugging Face's router; this goes to {redact_url(url)}"
                )
            headers["x-hf-bill-to"] = settings.bill_to
        return Headers({**headers, **settings.headers, "content-type": "application/json"})


def _find_longest_silence(timeout: Timeout) -> float | None:
    if timeout.first_token is None or timeout.between_tokens is None:
        return None
    return max(timeout.first_token, timeout.between_tokens)
