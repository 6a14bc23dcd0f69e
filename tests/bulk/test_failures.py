"""Whether the row or the server is to blame for an error."""

import errno
import socket

import pytest

import hfgen
from hfgen._bulk.failures import Failure, classify_error

ROW = {"inputs": "x"}


def status(code, kind=hfgen.StatusError, **facts):
    return kind("no", status=code, **facts)


def connect_error(cause):
    error = hfgen.ConnectError("no connection")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (status(400, hfgen.ValidationError), Failure.ROW),
        (status(413, hfgen.ValidationError), Failure.ROW),
        (status(422, hfgen.ValidationError), Failure.ROW),
        (hfgen.InvalidRequestError("no"), Failure.ROW),
        (hfgen.ContentFilterError("filtered", text="a"), Failure.ROW),
        (status(424, hfgen.GenerationError), Failure.UNCLEAR),
        (status(408), Failure.UNCLEAR),
        (hfgen.IncompleteGenerationError("cut", text="a"), Failure.UNCLEAR),
        (hfgen.MalformedStreamError("what"), Failure.UNCLEAR),
        (hfgen.MalformedAnswerError("what"), Failure.UNCLEAR),
        (status(500, hfgen.ServerError), Failure.SERVER),
        (status(502, hfgen.ServerError), Failure.SERVER),
        (status(504, hfgen.ServerError), Failure.SERVER),
        (hfgen.TimeoutError("late", phase="first_token"), Failure.SERVER),
        (hfgen.TimeoutError("late", phase="between_tokens", text="a"), Failure.SERVER),
        (hfgen.ConnectError("broke"), Failure.SERVER),
        (connect_error(ConnectionResetError()), Failure.SERVER),
        (connect_error(ConnectionRefusedError()), Failure.UNREACHED),
        (connect_error(socket.gaierror()), Failure.UNREACHED),
        (connect_error(OSError(errno.EHOSTUNREACH, "no route")), Failure.UNREACHED),
        (connect_error(OSError(errno.EADDRNOTAVAIL, "no port")), Failure.UNREACHED),
        (hfgen.ConnectError("no handshake", was_connected=False), Failure.UNREACHED),
        (connect_error(OSError(errno.EMFILE, "too many open files")), Failure.OVERLOAD),
        (connect_error(OSError(errno.ENFILE, "too many open files")), Failure.OVERLOAD),
        (connect_error(OSError(errno.ETIMEDOUT, "timed out")), Failure.SERVER),
        (hfgen.TimeoutError("late", phase="connect"), Failure.UNREACHED),
        (status(401, hfgen.AuthenticationError), Failure.REFUSED),
        (status(402), Failure.REFUSED),
        (status(403, hfgen.PermissionDeniedError), Failure.REFUSED),
        (status(404, hfgen.NotFoundError), Failure.REFUSED),
        (status(307), Failure.REFUSED),
        (status(429, hfgen.RateLimitError), Failure.OVERLOAD),
        (status(429, hfgen.OverloadedError), Failure.OVERLOAD),
        (status(500, hfgen.OverloadedError), Failure.OVERLOAD),
        (status(503, hfgen.ServerError), Failure.OVERLOAD),
        (status(529, hfgen.OverloadedError), Failure.OVERLOAD),
        (status(503, hfgen.ModelLoadingError), Failure.LOADING),
        (status(400, hfgen.StreamingNotSupportedError), Failure.NOT_STREAMABLE),
        (hfgen.HfgenError("the client is closed"), Failure.FATAL),
    ],
    ids=str,
)
def test_errors_are_classified(error, expected):
    assert classify_error(error, ROW) is expected


@pytest.mark.parametrize("code", [403, 404])
def test_an_error_about_the_model_of_the_row_is_the_rows(code):
    assert classify_error(status(code), ROW | {"model": "a/b"}) is Failure.ROW


@pytest.mark.parametrize("code", [403, 404])
def test_an_error_about_the_model_of_the_run_is_a_refusal(code):
    request = ROW | {"model": "a/b"}
    assert classify_error(status(code), request, "a/b") is Failure.REFUSED
    assert classify_error(status(code), request, "c/d") is Failure.ROW


def test_a_wrong_key_is_a_refusal_whatever_the_model():
    assert classify_error(status(401), ROW | {"model": "a/b"}) is Failure.REFUSED
