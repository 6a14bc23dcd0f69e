"""The tree of errors: the docstring is right, and errors can be pickled with their fields."""

import builtins
import copy
import inspect
import pickle
import re

import pytest

import hfgen
from hfgen._core import errors as _errors

ERRORS = [
    value
    for value in vars(_errors).values()
    if inspect.isclass(value) and issubclass(value, _errors.HfgenError)
]
FACTS = {
    "status": 503,
    "headers": {"X-Request-ID": "r1", "Retry-After": "1.5"},
    "body": b'{"error": "\xff"}',
    "error_type": "overloaded",
}


def make(kind):
    facts = {"text": "so far"}
    if issubclass(kind, hfgen.StatusError):
        facts |= FACTS
    if kind is hfgen.ModelLoadingError:
        facts["estimated_time"] = 20.0
    if kind is hfgen.TimeoutError:
        facts["phase"] = "connect"
    if kind is hfgen.AbortError:
        facts["reason"] = ["any", "thing"]
    return kind("what went wrong", **facts)


def read_tree():
    """The tree in the docstring: for each name its parent and its description."""
    parents, path = {}, []
    for line in _errors.__doc__.splitlines():
        if found := re.match(r"^    ([│ ]*(?:├── |└── )?)(\w+Error)\b(.*)", line):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            parents[found[2]] = (path[depth - 1] if depth else None, found[3].strip())
    return parents


def test_the_docstring_has_the_tree_of_classes():
    tree = read_tree()
    assert set(tree) == {kind.__name__ for kind in ERRORS}
    for kind in ERRORS:
        parent = next((b.__name__ for b in kind.__bases__ if b in ERRORS), None)
        assert tree[kind.__name__][0] == parent, kind


def test_the_docstring_has_the_statuses():
    from hfgen._core import server_errors  # noqa: PLC0415

    names = {
        int(status): name
        for name, (_, words) in read_tree().items()
        for status in re.findall(r"\b\d{3}\b", words)
        if name not in {"OverloadedError", "ModelLoadingError"}
    }
    for status, name in names.items():
        assert (
            type(
                server_errors.make_status_error(server_errors.ReportedError("x"), status=status)
            ).__name__
            == name
        )


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_public(kind):
    assert getattr(hfgen, kind.__name__) is kind
    assert issubclass(kind, hfgen.HfgenError)
    assert kind.__doc__


def test_builtin_base_classes():
    assert issubclass(hfgen.TimeoutError, builtins.TimeoutError)
    assert issubclass(hfgen.InvalidRequestError, ValueError)
    assert not issubclass(hfgen.HfgenError, OSError)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(
    "twin",
    [copy.copy, copy.deepcopy]
    + [
        lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ],
    ids=["copy", "deepcopy", *(f"pickle{n}" for n in range(2, pickle.HIGHEST_PROTOCOL + 1))],
)
def test_every_error_can_be_pickled_and_copied_with_its_fields(kind, twin):
    error = make(kind)
    error.add_note("a note")
    other = twin(error)
    assert type(other) is kind
    assert str(other) == str(error) == "what went wrong"
    assert repr(other) == repr(error)
    assert other.args == error.args
    names = {name for name in dir(error) if not name.startswith("_")} - {"add_note"}
    names -= {"with_traceback", *dir(OSError)}
    assert names >= {"message", "text"}
    for name in names:
        assert getattr(other, name) == getattr(error, name), name
    assert other.__notes__ == ["a note"]


def test_a_subclass_of_the_caller_can_be_pickled():
    other = pickle.loads(pickle.dumps(Own("x", extra=1)))
    assert (other.extra, other.message) == (1, "x")


class Own(hfgen.StatusError):
    def __init__(self, message, *, extra):
        super().__init__(message, status=400)
        self.extra = extra


@pytest.mark.parametrize("kind", ERRORS)
def test_defaults(kind):
    error = kind("m", status=500) if issubclass(kind, hfgen.StatusError) else kind("m")
    assert error.message == "m"
    assert error.text == ""
    if isinstance(error, hfgen.StatusError):
        assert dict(error.headers) == {}
        assert error.body == b""
        assert (error.error_type, error.request_id, error.retry_after) == (None, None, None)


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"X-Request-Id": "a"}, "a"),
        ({"x-amzn-requestid": "b"}, "b"),
        ({"CF-Ray": "c", "x-request-id": "a"}, "a"),
        ({"other": "d"}, None),
    ],
)
def test_request_id(headers, request_id):
    assert hfgen.StatusError("m", status=500, headers=headers).request_id == request_id


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), ("0.5", 0.5), ("-1", 0.0), ("0", 0.0), ("soon", None), ("", None), ("nan", None)],
)
def test_retry_after(value, seconds):
    error = hfgen.StatusError("m", status=429, headers={"retry-after": value})
    assert error.retry_after == seconds


@pytest.mark.parametrize("name", ["authorization", "cookie", "set-cookie"])
def test_headers_of_an_error_show_no_secret(name):
    error = hfgen.StatusError("m", status=500, headers={name: "hf_key"})
    assert "hf_key" not in f"{error} {error!r} {error.headers!r} {vars(error)}"
