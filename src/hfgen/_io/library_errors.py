"""What may be chained of the errors of HTTP libraries: theirs hold the request, and its key."""

from __future__ import annotations

import ssl
import sys

# OpenSSL's codes for: nobody that is trusted has signed it (x509_vfy.h).
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
_MAX_REASON = 300


def root_cause(error: BaseException) -> Exception | None:
    """Return the innermost error of Python's own under a library's, None if there is none."""
    found = None
    inner: BaseException | None = error
    while inner is not None:
        own = type(inner).__module__.partition(".")[0] in sys.stdlib_module_names
        if own and isinstance(inner, Exception):
            found = inner
        # urllib3 and requests also hand the error on as an argument.
        handed_on = next((arg for arg in inner.args if isinstance(arg, BaseException)), None)
        inner = inner.__cause__ or inner.__context__ or handed_on
    return found


def one_line(error: object) -> str:
    """Return what an error says, or its name if it says nothing; in one line that can be read."""
    said = " ".join(str(error).split()) or type(error).__name__
    # It may quote what a server sent.
    return said if len(said) <= _MAX_REASON else f"{said[:_MAX_REASON]} ..."


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
    why = f"its certificate is refused: {cause.verify_message.rstrip('.') or cause}"
    if cause.verify_code in _UNKNOWN_ISSUER:
        why += f"; {remedy}"
    return why
