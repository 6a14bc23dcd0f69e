"""Waiting: the limits of each phase, waiting for a model, and `on_retry`."""

import math
import time

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from hfgen import Retry, Timeout
from hfgen.testing import Hang, Pause

VERBS = ["run", "stream", "stream_tokens", "stream_bytes"]
STREAMS = VERBS[1:]
LOADING = as_json({"error": "Model m is currently loading", "estimated_time": 0.1}, 503)
# Longer than the limits here, shorter than a test may take.
DRIP = [Pause(0.02)] * 1000


def drip(piece):
    return [step for pause in DRIP for step in (piece, pause)]


class TestTimeout:
    def test_one_number_is_for_each_phase(self):
        assert Timeout.of(5) == Timeout(connect=5, first_token=5, between_tokens=5, total=None)
        assert Timeout.of(30).connect == 10

    def test_none_is_no_limit(self):
        assert Timeout.of(None) == Timeout(connect=None, first_token=None, between_tokens=None)

    @pytest.mark.parametrize("phase", ["connect", "first_token", "between_tokens", "total"])
    @pytest.mark.parametrize("value", [0, -1, "5", True, float("nan")])
    def test_an_impossible_limit_is_refused_by_name(self, phase, value):
        with pytest.raises(hfgen.InvalidRequestError, match=phase):
            Timeout(**{phase: value})


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("body", [[Hang()], drip(b":\n"), drip(b" ")])
def test_first_token(side, serve, verb, body):
    server = serve(answer(*body, content_type="text/event-stream"))
    if verb == "stream_bytes" and body[0] == b" ":
        pytest.skip("a stream of bytes waits for any byte")
    timeout = Timeout(connect=0.1, first_token=0.2)
    with pytest.raises(hfgen.TimeoutError, match="first token") as caught:
        side.outcome(verb, server, timeout=timeout)
    assert caught.value.phase == "first_token"
    side.wait_for(server.request().hung_up)
    assert len(server.requests) == 1


@pytest.mark.parametrize("verb", ["stream", "stream_tokens"])
@pytest.mark.parametrize("rest", [[Hang()], drip(b":\n\n"), drip(b"d")])
def test_between_tokens(side, serve, verb, rest):
    server = serve(events(token("Once"), token(" upon"), *rest))
    items = []
    with pytest.raises(hfgen.TimeoutError, match="further token") as caught:
        side.collect(getattr(side, verb)(server, timeout=Timeout(between_tokens=0.3)), items)
    assert caught.value.phase == "between_tokens"
    assert caught.value.text == "Once upon"
    assert len(items) == 2
    side.wait_for(server.request().hung_up)


def test_between_tokens_after_a_first_one_that_took_longer(side, serve):
    server = serve(events(Pause(0.6), token("Once"), Hang()))
    started = time.monotonic()
    with pytest.raises(hfgen.TimeoutError, match="further token"):
        side.outcome("stream", server, timeout=Timeout(first_token=40, between_tokens=0.3))
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("verb", VERBS)
def test_total(side, serve, verb):
    steps = [step for _ in range(500) for step in (token("a"), Pause(0.02))]
    server = serve(events(*steps))
    with pytest.raises(hfgen.TimeoutError, match="total") as caught:
        side.outcome(verb, server, timeout=Timeout(total=0.4))
    assert caught.value.phase == "total"
    side.wait_for(server.request().hung_up)


def test_total_includes_the_waits(side, serve):
    server = serve(as_json({"error": "busy"}, 503, retry_after="30"))
    started = time.monotonic()
    with pytest.raises(hfgen.TimeoutError) as caught:
        side.run(server, timeout=Timeout(total=0.3))
    assert caught.value.phase == "total"
    assert time.monotonic() - started < 20


def test_a_slow_stream_within_its_limits_is_read(side, serve):
    steps = [step for _ in range(5) for step in (token("a"), Pause(0.2))]
    server = serve(events(*steps, token("b", last="aaaaab")))
    timeout = Timeout(first_token=5, between_tokens=5)
    assert len(side.collect(side.stream_tokens(server, timeout=timeout))) == 6


def test_the_time_of_the_reader_before_the_first_token_does_not_count(side, serve):
    server = serve(events(token("a"), token("b", last="ab")))
    stream = side.stream_tokens(server, timeout=Timeout(connect=0.1, first_token=0.4))
    # The first token has come and waits to be read.
    side.sleep(0.7)
    assert side.next(stream) == "a"
    side.sleep(0.7)
    assert side.collect(stream) == ["b"]


def test_the_time_of_the_reader_between_tokens_does_not_count(side, serve):
    server = serve(events(token("a"), token("b"), Pause(0.2), token("c", last="abc")))
    stream = side.stream_tokens(server, timeout=Timeout(between_tokens=0.5))
    for _ in range(3):
        assert side.next(stream)
        side.sleep(0.7)
    assert side.collect(stream) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_model_that_loads_is_waited_for(side, serve, verb):
    retries = []
    success = as_json({"generated_text": "a"}) if verb == "run" else events(token("a", last="a"))
    server = serve(LOADING, LOADING, success)
    side.outcome(
        verb,
        server,
        wait_for_model=30,
        max_retries=0,
        on_retry=lambda attempt, wait, error: retries.append((attempt, wait, type(error))),
    )
    assert retries == [(1, 1.0, hfgen.ModelLoadingError), (2, 1.0, hfgen.ModelLoadingError)]
    assert len(server.requests) == 3


def test_a_model_that_does_not_load_in_time_is_an_error(side, serve):
    with pytest.raises(hfgen.ModelLoadingError):
        side.run(serve(LOADING), wait_for_model=0.2, max_retries=0)


def test_true_means_ten_minutes(side):
    settings = side.client(wait_for_model=True)._session.settings
    assert settings.retry == Retry(wait_for_model=600.0)
    assert side.client(wait_for_model=False)._session.settings.retry == Retry()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x.us-east-1.aws.endpoints.huggingface.cloud/generate", "45"),
        ("https://endpoints.huggingface.cloud.evil.com/generate", None),
        ("https://router.huggingface.co/hf-inference/models/x", None),
    ],
)
def test_a_scaled_down_endpoint_gets_a_header_to_hold_the_request(side, url, expected):
    header_values = []

    def answer_request(request):
        header_values.append(request.headers.get("x-scale-up-timeout"))
        return hfgen.FetchResponse(status=200, body=[b'{"generated_text": "a"}'])

    async def answer_request_async(request):
        response = answer_request(request)

        async def body():
            yield response.body[0]

        return hfgen.FetchResponse(status=200, body=body())

    fetch = answer_request if side.name == "sync" else answer_request_async
    side.call(side.client(fetch=fetch, api_url=url).run, "x", wait_for_model=44.5)
    side.call(side.client(fetch=fetch, api_url=url).run, "x")
    side.call(side.client(fetch=fetch, api_url=url).run, "x", wait_for_model=math.inf)
    assert header_values == [expected, None, expected and "1000000"]


@pytest.mark.parametrize("verb", STREAMS)
def test_overload_before_the_first_token_is_tried_again(side, serve, verb):
    busy = events({"error": "Model is overloaded", "error_type": "overloaded"})
    sglang = {"error": {"message": "The request queue is full.", "type": "SERVICE_UNAVAILABLE",
                        "code": 503}}  # fmt: skip
    success = events(b": hello\n\n", token("a"), token("b", last="ab"))
    server = serve(busy, events(sglang, b"data: [DONE]\n\n"), success)
    items = side.collect(getattr(side, verb)(server, retry=Retry(backoff=0.01)))
    assert len(server.requests) == 3
    if verb == "stream_bytes":
        assert b"".join(items) == b"".join(
            piece for piece in (step_bytes(step) for step in success.body)
        )
    else:
        assert len(items) == 2


def step_bytes(step):
    return step if isinstance(step, bytes) else b""


def test_a_retry_policy_may_be_passed(side, serve):
    server = serve(as_json({"error": "busy"}, 503))
    client = side.client(retry=Retry(max_retries=3, backoff=0.0), api_url=server.url)
    with pytest.raises(hfgen.ServerError):
        side.call(client.run, "x")
    assert len(server.requests) == 4
    with pytest.raises(hfgen.ServerError):
        side.call(client.run, "x", max_retries=1)
    assert len(server.requests) == 6


def test_an_error_of_on_retry_ends_the_call(side, serve):
    class Enough(Exception):  # noqa: N818
        pass

    def on_retry(attempt, wait, error):
        raise Enough

    server = serve(as_json({"error": "busy"}, 503))
    with pytest.raises(Enough):
        side.run(server, on_retry=on_retry)
    assert len(server.requests) == 1
