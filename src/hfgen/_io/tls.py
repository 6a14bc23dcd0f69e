"""Whom to trust: the context for TLS."""

from __future__ import annotations

import os
import ssl

from hfgen._core.errors import InvalidRequestError


def check_ssl(value: object) -> ssl.SSLContext:
    """Return the context that `ssl=` stands for.

    Raises:
        InvalidRequestError: It stands for none.
    """
    if isinstance(value, ssl.SSLContext):
        if value.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise InvalidRequestError("ssl is a context for servers; clients need another")
        return value
    if value is False:
        raise InvalidRequestError(
            "ssl=False would send the key to whoever answers; where that is meant, pass an "
            "ssl.SSLContext with check_hostname=False and verify_mode=ssl.CERT_NONE"
        )
    if isinstance(value, bool) or not isinstance(value, str | os.PathLike):
        raise InvalidRequestError(
            "ssl must be an ssl.SSLContext, or the path of a file or directory of the "
            f"certificates to trust, not {type(value).__name__}"
        )
    # Not an empty one, to which ssl says: the system's.
    path = os.fspath(value) or os.devnull
    where = "capath" if os.path.isdir(path) else "cafile"  # noqa: PTH112 - it may be bytes
    try:
        return ssl.create_default_context(**{where: path})  # type: ignore[arg-type]
    except OSError as error:
        raise InvalidRequestError(f"ssl: no certificates in {value!r}: {error}") from error


def default_context() -> ssl.SSLContext:
    """Return a context that trusts the system, or `SSL_CERT_FILE` and `SSL_CERT_DIR`."""
    return ssl.create_default_context()
