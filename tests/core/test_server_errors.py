"""Each shape in which a server words an error, in the body of a status and inside a stream."""

import json
import time

import pytest

import hfgen
from hfgen._core import server_errors
from hfgen._core.dialects.tgi import TGI
from hfgen._core.sse import Event

# The types of errors of TGI, with their statuses where it does not stream.
TGI_ERRORS = [
    (424, "generation", hfgen.GenerationError),
    (429, "overloaded", hfgen.OverloadedError),
    (422, "validation", hfgen.ValidationError),
    (422, "template_error", hfgen.ValidationError),
    (422, "missing_template_variable", hfgen.ValidationError),
    (422, "tool_error", hfgen.ValidationError),
    (500, "incomplete_generation", hfgen.ServerError),
    (500, "incomplete_generation_stream", hfgen.ServerError),
    (500, "stream_serialization_error", hfgen.ServerError),
]

LOADING = "Model gpt2 is currently loading"
NO_STREAM = "Error in `stream`: `stream` is not supported for this model"
NO_PERMISSION = (
    "This authentication method does not have sufficient permissions to call Inference Providers "
    "on behalf of user x"
)
GONE = (
    "https://api-inference.huggingface.co/ is no longer supported. "
    "Please use https://router.huggingface.co/ instead"
)
BUSY = "Model too busy, unable to get response in less than 120 second(s)"
TOO_LONG = "the request exceeds the available context size"

# The types of errors of Anthropic's API, with their statuses.
ANTHROPIC_ERRORS = [
    ("overloaded_error", 529, hfgen.OverloadedError),
    ("invalid_request_error", 400, hfgen.ValidationError),
    ("authentication_error", 401, hfgen.AuthenticationError),
    ("billing_error", 402, hfgen.StatusError),
    ("permission_error", 403, hfgen.PermissionDeniedError),
    ("not_found_error", 404, hfgen.NotFoundError),
    ("request_too_large", 413, hfgen.ValidationError),
    ("rate_limit_error", 429, hfgen.RateLimitError),
    ("api_error", 500, hfgen.ServerError),
    ("timeout_error", 504, hfgen.ServerError),
    ("a_new_error", 500, hfgen.ServerError),
]


def anthropic(kind):
    return {"type": "error", "error": {"type": kind, "message": "m"}}


# status, body, class, what the message holds, error_type, estimated_time
FAILED = [
    # TGI
    *[(s, {"error": "why", "error_type": t}, c, "why", t, None) for s, t, c in TGI_ERRORS],
    (
        422,
        {"error": "`loading model x` is too long", "error_type": "validation"},
        hfgen.ValidationError,
        "too long",
        "validation",
        None,
    ),
    (503, {"error": "unhealthy", "error_type": "healthcheck"}, hfgen.ServerError, "unhealthy",
     "healthcheck", None),
    (400, {"error": "b", "error_type": "batch size exceeded"}, hfgen.ValidationError, "b",
     "batch size exceeded", None),
    (422, b"Failed to deserialize the JSON body into the target type: inputs: missing field",
     hfgen.ValidationError, "target type: inputs: missing field", None, None),
    (401, b"", hfgen.AuthenticationError, "401 Unauthorized", None, None),
    (422, {"error": {"message": "m", "http_status_code": 422}}, hfgen.ValidationError, "m", None,
     None),
    # The hosted API
    (410, {"error": GONE}, hfgen.StatusError, "router.huggingface.co", None, None),
    (503, {"error": LOADING, "estimated_time": 20.0}, hfgen.ModelLoadingError, "loading", None,
     20.0),
    (503, {"error": LOADING, "estimated_time": 300}, hfgen.ModelLoadingError, "loading", None,
     300.0),
    (503, {"error": LOADING}, hfgen.ModelLoadingError, "loading", None, None),
    (400, {"error": [NO_STREAM]}, hfgen.StreamingNotSupportedError, "`stream` is not", None, None),
    (400, {"error": ["a", "b"]}, hfgen.ValidationError, "a; b", None, None),
    (500, {"error": BUSY}, hfgen.OverloadedError, "too busy", None, None),
    (403, {"error": NO_PERMISSION}, hfgen.PermissionDeniedError, "permissions", None, None),
    (400, {"error": "Model not supported by provider together"}, hfgen.ValidationError, "together",
     None, None),
    (402, {"error": "out of credits"}, hfgen.StatusError, "402 Payment Required: out", None, None),
    (404, {"error": "Model x does not exist"}, hfgen.NotFoundError, "x does not exist", None, None),
    (429, {"error": "slow down"}, hfgen.RateLimitError, "slow down", None, None),
    (413, b"length limit exceeded", hfgen.ValidationError, "length limit exceeded", None, None),
    # OpenAI-compatible
    (400, {"error": {"message": "m", "type": "BadRequestError", "param": None, "code": 400}},
     hfgen.ValidationError, "m", "BadRequestError", None),
    (404, {"object": "error", "message": "no such", "type": "NotFoundError", "param": None,
           "code": 404}, hfgen.NotFoundError, "no such", "NotFoundError", None),
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
     hfgen.ModelLoadingError, "Loading model", "unavailable_error", None),
    (400, {"error": {"code": 400, "message": TOO_LONG, "type": "exceed_context_size_error",
                     "n_prompt_tokens": 9, "n_ctx": 8}}, hfgen.ValidationError, "context size",
     "exceed_context_size_error", None),
    (429, {"error": {"message": "m", "type": "insufficient_quota", "code": "quota"}},
     hfgen.RateLimitError, "m", "insufficient_quota", None),
    # Anthropic
    (529, anthropic("overloaded_error"), hfgen.OverloadedError, "m", "overloaded_error", None),
    (500, anthropic("overloaded_error"), hfgen.OverloadedError, "m", "overloaded_error", None),
    (529, b"", hfgen.OverloadedError, "529", None, None),
    # The status says more than a type that may come under several.
    (404, anthropic("invalid_request_error"), hfgen.NotFoundError, "m", "invalid_request_error",
     None),
    (503, anthropic("rate_limit_error"), hfgen.ServerError, "m", "rate_limit_error", None),
    # Others
    (422, {"detail": "not so"}, hfgen.ValidationError, "not so", None, None),
    (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, hfgen.ValidationError,
     "field required", None, None),
    (400, {"message": "m"}, hfgen.ValidationError, "m", None, None),
    (404, {"type": "about:blank", "title": "Not here", "status": 404, "detail": "really"},
     hfgen.NotFoundError, "really", "about:blank", None),
    (404, {"title": "Not here", "status": 404}, hfgen.NotFoundError, "Not here", None, None),
    # Pages of proxies
    (502, b"", hfgen.ServerError, "502 Bad Gateway", None, None),
    (502, b"<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>",
     hfgen.ServerError, "502 Bad Gateway", None, None),
    (503, b"<!DOCTYPE html><html><body><style>p {}</style><p>Down &amp; out</p></body></html>",
     hfgen.ServerError, "Down & out", None, None),
    (500, b"Internal Server Error", hfgen.ServerError, "500 Internal Server Error", None, None),
    (500, b"\xff\xfe no text", hfgen.ServerError, "no text", None, None),
    (500, b'{"error": "cut of', hfgen.ServerError, "cut of", None, None),
    (500, {}, hfgen.ServerError, "500 Internal", None, None),
    (500, [], hfgen.ServerError, "500 Internal", None, None),
    (500, {"error": None}, hfgen.ServerError, "500 Internal", None, None),
    (500, {"error": {}}, hfgen.ServerError, "500 Internal", None, None),
    (400, {"error": 7}, hfgen.ValidationError, "7", None, None),
    (400, [{"error": "in a list"}], hfgen.ValidationError, "in a list", None, None),
    (400, b'"just a string"', hfgen.ValidationError, "just a string", None, None),
    (599, b"?", hfgen.ServerError, "599: ?", None, None),
    (418, b"tea", hfgen.StatusError, "tea", None, None),
    (500, b"[" * 100_000, hfgen.ServerError, "[[[", None, None),
]  # fmt: skip

# event, class, status, what the message holds, error_type, estimated_time
IN_BAND = [
    *[({"error": "why", "error_type": t}, c, s, "why", t, None) for s, t, c in TGI_ERRORS],
    ({"error": "why"}, hfgen.ServerError, 500, "why", None, None),
    ({"error": ["a", "b"]}, hfgen.ServerError, 500, "a; b", None, None),
    ({"error": [NO_STREAM]}, hfgen.StreamingNotSupportedError, 400, "not supported", None, None),
    ({"error": {"message": "m", "http_status_code": 422}}, hfgen.ValidationError, 422, "m", None,
     None),
    ({"error": {"message": "m", "type": "BadRequestError", "param": None, "code": 400}},
     hfgen.ValidationError, 400, "m", "BadRequestError", None),
    ({"error": {"object": "error", "message": "The request queue is full.",
                "type": "SERVICE_UNAVAILABLE", "param": None, "code": 503}},
     hfgen.OverloadedError, 503, "queue is full", "SERVICE_UNAVAILABLE", None),
    ({"object": "error", "message": "m", "type": "NotFoundError", "param": None, "code": 404},
     hfgen.NotFoundError, 404, "m", "NotFoundError", None),
    ({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
     hfgen.ModelLoadingError, 503, "Loading model", "unavailable_error", None),
    ({"error": LOADING, "estimated_time": 20.0}, hfgen.ModelLoadingError, 503, "loading", None,
     20.0),
    ({"error": {"message": "m", "code": "quota", "type": None}}, hfgen.ServerError, 500, "m", None,
     None),
    *[
        (anthropic(kind), error, status, "m", kind, None)
        for kind, status, error in ANTHROPIC_ERRORS
    ],
    ({"detail": "not so"}, hfgen.ServerError, 500, "not so", None, None),
    ({"message": "m", "status": 401}, hfgen.AuthenticationError, 401, "m", None, None),
]  # fmt: skip


def as_bytes(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize(("status", "body", "kind", "words", "error_type", "time"), FAILED)
def test_in_the_body_of_a_status(status, body, kind, words, error_type, time):
    body = as_bytes(body)
    error = server_errors.make_status_error(
        server_errors.parse_body_error(body),
        status=status,
        headers={"X-Request-Id": "r1"},
        body=body,
    )
    assert type(error) is kind
    assert error.status == status
    assert words in error.message == str(error)
    assert error.message.startswith(str(status))
    assert error.error_type == error_type
    assert error.body == body
    assert error.headers == hfgen.StatusError("", status=1, headers={"x-request-id": "r1"}).headers
    assert error.request_id == "r1"
    assert getattr(error, "estimated_time", None) == time


@pytest.mark.parametrize(("body", "kind", "status", "words", "error_type", "time"), IN_BAND)
@pytest.mark.parametrize("name", [b"", b"error", b"message"])
def test_an_error_inside_a_stream(name, body, kind, status, words, error_type, time):
    data = as_bytes(body)
    with pytest.raises(hfgen.StatusError) as caught:
        list(TGI().make_event_reader().read([Event(name, data)]))
    error = caught.value
    assert type(error) is kind
    assert error.status == status
    assert words in str(error)
    assert error.error_type == error_type
    assert error.body == data
    assert getattr(error, "estimated_time", None) == time


@pytest.mark.parametrize(("body", "kind", "status", "words", "error_type", "time"), IN_BAND)
@pytest.mark.parametrize("wrap", [lambda body: body, lambda body: [body]], ids=["object", "list"])
def test_an_error_inside_a_200(wrap, body, kind, status, words, error_type, time):
    with pytest.raises(hfgen.StatusError) as caught:
        TGI().read_answers(as_bytes(wrap(body)))
    error = caught.value
    assert type(error) is kind
    assert error.status == status
    assert words in str(error)
    assert error.error_type == error_type


@pytest.mark.parametrize(
    "body",
    [
        {"generated_text": "x"},
        {"token": {"text": "x"}},
        {"error": None},
        {"error": ""},
        [],
        [{}, {}],
        "error",
        5,
        None,
    ],
)
def test_json_that_is_no_error(body):
    assert server_errors.parse_json_error(body) is None


def test_the_field_of_older_llama_cpp():
    data = b'{"code":500,"message":"context shift is disabled","type":"server_error"}'
    with pytest.raises(hfgen.ServerError, match="context shift") as caught:
        list(TGI().make_event_reader().read([Event(b"error", data)]))
    assert caught.value.status == 500
    assert caught.value.error_type == "server_error"


def test_an_error_event_of_plain_text():
    with pytest.raises(hfgen.ServerError, match="it broke"):
        list(TGI().make_event_reader().read([Event(b"error", b"it broke")]))


@pytest.mark.parametrize(
    "body",
    [b"x" * 2_000_000, as_bytes({"error": "x" * 2_000_000}), as_bytes({"error": ["x"] * 9999}),
     b"<html>" + b"<p>x" * 500_000, b"<html><title>" + b"<title" * 200_000,
     b"<html>" + b"<script" * 100_000, b"<html>" + b"<" * 2_000_000],
    ids=["text", "string", "list", "html", "title", "script", "brackets"],
)  # fmt: skip
def test_a_long_body_gives_a_short_message_and_takes_little_work(body):
    started = time.process_time()
    assert (
        len(
            str(
                server_errors.make_status_error(
                    server_errors.parse_body_error(body), status=500, body=body
                )
            )
        )
        < 400
    )
    # This takes milliseconds if the time is linear, and many seconds if it is quadratic.
    assert time.process_time() - started < 2


def test_a_status_that_the_page_repeats_is_shown_once():
    page = b"<html><title>502 Bad Gateway</title></html>"
    assert (
        str(server_errors.make_status_error(server_errors.parse_body_error(page), status=502))
        == "502 Bad Gateway"
    )


def test_a_character_reference_with_too_many_digits_is_left_unchanged():
    page = b"<html><body>&amp;&#" + b"1" * 5000 + b";</body></html>"
    assert str(
        server_errors.make_status_error(server_errors.parse_body_error(page), status=502)
    ).startswith("502 Bad Gateway: &amp;")


@pytest.mark.parametrize("value", ["20", None, True, [], {}, pytest.param(10**400, id="huge")])
def test_an_estimated_time_that_is_no_number_is_none(value):
    error = server_errors.make_status_error(
        server_errors.parse_body_error(as_bytes({"error": LOADING, "estimated_time": value})),
        status=503,
    )
    assert isinstance(error, hfgen.ModelLoadingError)
    assert error.estimated_time is None


@pytest.mark.parametrize("code", [0, 1, 200, 302, 600, -1, True, "400", 400.0, None, []])
def test_a_code_that_is_no_status_of_an_error_does_not_count(code):
    with pytest.raises(hfgen.StatusError) as caught:
        TGI().read_answers(as_bytes({"error": {"message": "m", "code": code}}))
    assert caught.value.status == 500


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Error loading model weights: no such file", 500),
        ("no such route: /models/is-overloaded", 404),
    ],
)
def test_a_message_that_mentions_loading_is_no_loading_error(message, status):
    error = server_errors.make_status_error(
        server_errors.parse_body_error(as_bytes({"error": message})), status=status
    )
    assert not isinstance(error, hfgen.ModelLoadingError | hfgen.OverloadedError)
