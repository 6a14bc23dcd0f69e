"""What the errors of HTTP libraries become: hfgen's, with one wording for all libraries.

A library's own error is never chained: it holds the request, and the key with it. What is chained
is the innermost error of Python itself.
"""

from __future__ import annotations

import ssl
import sys
from enum import Enum
from typing import TYPE_CHECKING

from hfgen._core.errors import ConnectError, drop_tracebacks, replace_control_characters
from hfgen._core.errors import TimeoutError as HfgenTimeoutError
from hfgen._core.url import redact_url

if TYPE_CHECKING:
    from hfgen._core.errors import HfgenError
    from hfgen._core.fetch import FetchRequest
    from hfgen._io.connecting import Proxy

# OpenSSL's codes for a certificate whose issuer is not trusted (x509_vfy.h).
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
_MAX_REASON = 300


class ConnectionFailure(Enum):
    """How a request can fail at the connection; each library maps its exceptions to these.

    The value is the message.
    """

    CONNECT_TIMEOUT = "no connection to {server} in time (connect timeout)"
    READ_TIMEOUT = "{server} sent nothing in time"
    NOT_CONNECTED = "cannot connect to {server}: {reason}"
    BROKEN = "the connection to {server} broke: {reason}"


def connection_error(
    failure: ConnectionFailure,
    request: FetchRequest,
    reason: object = "",
    *,
    proxy: Proxy | None = None,
    cause: BaseException | None = None,
) -> HfgenError:
    """Return hfgen's error for a failed connection.

    Args:
        failure: How the connection failed.
        request: The request that was made over it. Its URL is shown without its query.
        reason: What the library or the system says about it.
        proxy: The proxy that the request went through.
        cause: The error to chain. It must not hold a key.
    """
    server = redact_url(request.url) + (f" through the proxy {proxy}" if proxy else "")
    # Libraries quote the URL in some messages.
    shown_reason = str(reason).replace(request.url, redact_url(request.url))
    message = failure.value.format(server=server, reason=shown_reason)
    error: HfgenError
    if failure is ConnectionFailure.CONNECT_TIMEOUT:
        error = HfgenTimeoutError(message, phase="connect")
    elif failure is ConnectionFailure.READ_TIMEOUT:
        error = HfgenTimeoutError(message)
    else:
        inmost = None if cause is None else root_cause(cause)
        error = ConnectError(
            message,
            was_connected=failure is ConnectionFailure.BROKEN,
            is_permanent=isinstance(inmost, ssl.SSLCertVerificationError),
        )
    # The frames of a traceback hold the request, and the key with it.
    drop_tracebacks(cause)
    error.__cause__ = cause
    return error


def root_cause(error: BaseException) -> Exception | None:
    """Return the innermost error of Python's own under a library's, None if there is none."""
    found = None
    inner: BaseException | None = error
    while inner is not None:
        is_own = type(inner).__module__.partition(".")[0] in sys.stdlib_module_names
        if is_own and isinstance(inner, Exception):
            found = inner
        # urllib3 and requests also pass the error on as an argument.
        argument = next((arg for arg in inner.args if isinstance(arg, BaseException)), None)
        inner = inner.__cause__ or inner.__context__ or argument
    return found


def one_line(error: object) -> str:
    """Return the message of an error, or its class name if it has none; as one line of text."""
    message = replace_control_characters(" ".join(str(error).split())) or type(error).__name__
    # The message may quote what a server sent, of any length.
    return message if len(message) <= _MAX_REASON else f"{message[:_MAX_REASON]} ..."


def certificate_problem(
    error: BaseException, remedy: str = "ssl= or SSL_CERT_FILE can name more certificates to trust"
) -> str | None:
    """Return why a certificate was refused, None if the error is of another kind.

    Args:
        error: What a library raised.
        remedy: What helps if the certificate is good.
    """
    cause = root_cause(error)
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return None
    reason = f"its certificate is refused: {cause.verify_message.rstrip('.') or cause}"
    if cause.verify_code in _UNKNOWN_ISSUER:
        reason += f"; {remedy}"
    return reason
