"""What each HTTP status of an error means: its class, whether to try again, what is to blame.

One table for `server_errors`, `Retry` and bulk runs. For a status that is not in the table,
`find_meaning` goes by its first digit.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from hfgen._core import errors

Blame: TypeAlias = Literal["request", "caller", "model", "server", "load", "chance"]
"""What a failure is blamed on: the content of the request; the caller's key or credit; the model
that the request names; the server; its load; or "chance", a condition that does not last."""


class StatusMeaning(NamedTuple):
    """What a status means.

    Attributes:
        error: The class of the error to raise.
        is_transient: Whether another attempt may go better.
        blame: What is to blame.
    """

    error: type[errors.StatusError]
    is_transient: bool
    blame: Blame


STATUSES = {
    400: StatusMeaning(errors.ValidationError, is_transient=False, blame="request"),
    401: StatusMeaning(errors.AuthenticationError, is_transient=False, blame="caller"),
    402: StatusMeaning(errors.StatusError, is_transient=False, blame="caller"),
    403: StatusMeaning(errors.PermissionDeniedError, is_transient=False, blame="model"),
    404: StatusMeaning(errors.NotFoundError, is_transient=False, blame="model"),
    408: StatusMeaning(errors.StatusError, is_transient=True, blame="chance"),
    409: StatusMeaning(errors.StatusError, is_transient=True, blame="chance"),
    413: StatusMeaning(errors.ValidationError, is_transient=False, blame="request"),
    422: StatusMeaning(errors.ValidationError, is_transient=False, blame="request"),
    424: StatusMeaning(errors.GenerationError, is_transient=False, blame="chance"),
    425: StatusMeaning(errors.StatusError, is_transient=True, blame="chance"),
    429: StatusMeaning(errors.RateLimitError, is_transient=True, blame="load"),
    502: StatusMeaning(errors.ServerError, is_transient=True, blame="server"),
    503: StatusMeaning(errors.ServerError, is_transient=True, blame="load"),
    504: StatusMeaning(errors.ServerError, is_transient=True, blame="server"),
    # Anthropic's, for a server with too much to do.
    529: StatusMeaning(errors.OverloadedError, is_transient=True, blame="load"),
}
_SERVER_ERROR = StatusMeaning(errors.ServerError, is_transient=False, blame="server")
_OTHER = StatusMeaning(errors.StatusError, is_transient=False, blame="caller")


def find_meaning(status: int) -> StatusMeaning:
    """Return what a status means."""
    return STATUSES.get(status, _SERVER_ERROR if status >= 500 else _OTHER)  # noqa: PLR2004
