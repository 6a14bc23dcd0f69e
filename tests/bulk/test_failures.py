"""What an error says of the row, and what of the server."""

import errno
import socket

import pytest

import hfgen
from hfgen._bulk.failures import Verdict, verdict

ROW = {"inputs": "x"}


def status(code, kind=hfgen.StatusError, **facts):
    return kind("no", status=code, **facts)


def caused(cause):
    error = hfgen.ConnectError("no connection")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (status(400, hfgen.ValidationError), Verdict.ROW),
        (status(413, hfgen.ValidationError), Verdict.ROW),
        (status(422, hfgen.ValidationError), Verdict.ROW),
        (hfgen.InvalidRequestError("no"), Verdict.ROW),
        (status(424, hfgen.GenerationError), Verdict.BROKEN),
        (status(408), Verdict.BROKEN),
        (hfgen.IncompleteGenerationError("cut", text="a"), Verdict.BROKEN),
        (hfgen.MalformedStreamError("what"), Verdict.BROKEN),
        (hfgen.MalformedAnswerError("what"), Verdict.BROKEN),
        (status(500, hfgen.ServerError), Verdict.SERVER),
        (status(502, hfgen.ServerError), Verdict.SERVER),
        (status(504, hfgen.ServerError), Verdict.SERVER),
        (hfgen.TimeoutError("late", phase="first_token"), Verdict.SERVER),
        (hfgen.TimeoutError("late", phase="between_tokens", text="a"), Verdict.SERVER),
        (hfgen.ConnectError("broke"), Verdict.SERVER),
        (caused(ConnectionResetError()), Verdict.SERVER),
        (caused(ConnectionRefusedError()), Verdict.UNREACHED),
        (caused(socket.gaierror()), Verdict.UNREACHED),
        (caused(OSError(errno.EHOSTUNREACH, "no route")), Verdict.UNREACHED),
        (hfgen.TimeoutError("late", phase="connect"), Verdict.UNREACHED),
        (status(401, hfgen.AuthenticationError), Verdict.REFUSED),
        (status(402), Verdict.REFUSED),
        (status(403, hfgen.PermissionDeniedError), Verdict.REFUSED),
        (status(404, hfgen.NotFoundError), Verdict.REFUSED),
        (status(307), Verdict.REFUSED),
        (status(429, hfgen.RateLimitError), Verdict.OVERLOAD),
        (status(429, hfgen.OverloadedError), Verdict.OVERLOAD),
        (status(500, hfgen.OverloadedError), Verdict.OVERLOAD),
        (status(503, hfgen.ServerError), Verdict.OVERLOAD),
        (status(503, hfgen.ModelLoadingError), Verdict.LOADING),
        (status(400, hfgen.StreamingNotSupportedError), Verdict.WHOLE),
        (hfgen.HfgenError("the client is closed"), Verdict.BUG),
    ],
    ids=str,
)
def test_verdicts(error, expected):
    assert verdict(error, ROW) is expected


@pytest.mark.parametrize("code", [403, 404])
def test_that_there_is_no_such_model_is_the_rows_if_it_names_it(code):
    assert verdict(status(code), ROW | {"model": "a/b"}) is Verdict.ROW


@pytest.mark.parametrize("code", [403, 404])
def test_that_there_is_no_such_model_is_the_servers_if_it_is_that_of_all(code):
    request = ROW | {"model": "a/b"}
    assert verdict(status(code), request, "a/b") is Verdict.REFUSED
    assert verdict(status(code), request, "c/d") is Verdict.ROW


def test_a_wrong_key_is_nobodys_model():
    assert verdict(status(401), ROW | {"model": "a/b"}) is Verdict.REFUSED
