"""The options of a local server, and the limits that follow from them and from its model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from hfgen._core.errors import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

# The default of TGI's `--max-client-batch-size`: the most prompts in one `/v1/completions` request.
MAX_CLIENT_BATCH_SIZE = 4


class OptionsDict(TypedDict, total=False):
    """The options as keyword arguments; `ServerOptions` documents them."""

    model: str | PathLike[str]
    host: str
    port: int
    api_key: str | None
    cors_allow_origin: Sequence[str] | None
    max_concurrent_requests: int
    max_batch: int
    max_best_of: int
    max_stop_sequences: int
    max_top_n_tokens: int
    max_input_tokens: int | None
    max_total_tokens: int | None
    max_connections: int
    idle_timeout: float
    client_timeout: float
    keep_alive: float
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The options of a local server; the limits have TGI's names and TGI's defaults.

    Attributes:
        model: The directory of a checkpoint, or `"bundled"` for the model in this package.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        api_key: The key that the generation routes and `/tokenize` require; None: no key.
        cors_allow_origin: The origins, such as `"https://example.org"`, whose pages may read the
            answers in a browser; None: any origin, as in TGI; `()`: none. With None, every web page
            that is open in a browser on this machine can use the server and read its answers, even
            if `host` is the loopback address. Browsers do not let pages of other origins send
            `api_key`.
        max_concurrent_requests: How many generations may run or wait; more are answered with 429.
        max_batch: How many generations the engine runs side by side.
        max_best_of: The highest `best_of` of a request.
        max_stop_sequences: The most stop strings in a request.
        max_top_n_tokens: The highest `top_n_tokens` of a request.
        max_input_tokens: The longest prompt, in tokens; None: one less than the total.
        max_total_tokens: The longest prompt with its answer, in tokens; None: the model's context.
        max_connections: How many connections may be open. Beyond, and at the limit of open files, a
            new connection takes the place of the one that has waited longest for its client; if
            none waits, the new ones wait. `hfgen serve` raises the limit of open files for them.
        idle_timeout: Seconds after which a connection is closed that has sent no whole request
            head, counted from its beginning or its last answer.
        client_timeout: Seconds that a client may take to send the body of its request, which is
            then answered with 408; and to read none of its answer (on Linux only).
        keep_alive: Seconds without an event after which a stream sends a comment.
        grace: Seconds that running generations have to finish after the server is asked to stop.

    Raises:
        LocalServerError: An option is out of its range.
    """

    model: str | PathLike[str] = "bundled"
    host: str = "127.0.0.1"
    port: int = 8080
    api_key: str | None = field(default=None, repr=False)
    cors_allow_origin: Sequence[str] | None = None
    max_concurrent_requests: int = 128
    max_batch: int = 64
    max_best_of: int = 2
    max_stop_sequences: int = 4
    max_top_n_tokens: int = 5
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    max_connections: int = 1024
    idle_timeout: float = 75.0
    client_timeout: float = 60.0
    keep_alive: float = 15.0
    grace: float = 10.0

    def __post_init__(self) -> None:
        for name, minimum, maximum in _RANGES:
            value = getattr(self, name)
            if value is not None and not minimum <= value <= maximum:
                raise LocalServerError(
                    f"{name} must be between {minimum} and {maximum}, not {value}"
                )
        for name in ("idle_timeout", "client_timeout", "keep_alive"):
            if getattr(self, name) <= 0:
                raise LocalServerError(f"{name} must be more than 0 seconds")
        if self.api_key == "":
            raise LocalServerError("api_key must not be empty; leave it out to ask for none")
        origins = self.cors_allow_origin
        if isinstance(origins, str) or (origins is not None and not all(map(_is_origin, origins))):
            raise LocalServerError(
                "cors_allow_origin must be a list of origins, such as ['https://example.org'];"
                " leave it out to allow any"
            )


def _is_origin(value: object) -> bool:
    # A header can hold these characters. TGI's CorsLayer refuses "*" in a list too.
    return isinstance(value, str) and value.isascii() and value.isprintable() and value != "*"


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("port", 0, 65_535),
    ("max_concurrent_requests", 1, math.inf),
    ("max_batch", 1, math.inf),
    ("max_best_of", 1, math.inf),
    ("max_stop_sequences", 0, math.inf),
    ("max_top_n_tokens", 0, math.inf),
    ("max_input_tokens", 1, math.inf),
    ("max_total_tokens", 2, math.inf),
    ("max_connections", 1, math.inf),
    ("grace", 0, math.inf),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that requests are checked against."""

    max_best_of: int
    max_stop_sequences: int
    max_top_n_tokens: int
    max_input_tokens: int
    max_total_tokens: int

    @classmethod
    def from_options(cls, options: ServerOptions, *, max_positions: int) -> Limits:
        """Return the limits of the options, with defaults from the model's context.

        Args:
            options: The options of the server.
            max_positions: The model's context, in tokens.

        Raises:
            LocalServerError: The limits contradict each other or the model.
        """
        total = options.max_total_tokens or max_positions
        if total > max_positions:
            raise LocalServerError(
                f"max_total_tokens is {total}, but the model's context is {max_positions} tokens"
            )
        inputs = options.max_input_tokens or total - 1
        if inputs < 1:
            raise LocalServerError(
                f"the model's context is {max_positions} tokens: no room for a prompt and an answer"
            )
        # TGI's launcher checks the same: such a prompt would leave no room for an answer.
        if inputs >= total:
            raise LocalServerError(
                f"max_input_tokens is {inputs}: it must be less than max_total_tokens, {total}"
            )
        return cls(
            max_best_of=options.max_best_of,
            max_stop_sequences=options.max_stop_sequences,
            max_top_n_tokens=options.max_top_n_tokens,
            max_input_tokens=inputs,
            max_total_tokens=total,
        )
