"""Waiting: time limits phase by phase, for a model to load, and what is told meanwhile."""

import time

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from hfgen import Retry, Timeout
from hfgen.testing import Hang, Pause

VERBS = ["run", "stream", "stream_tokens", "stream_bytes"]
STREAMS = VERBS[1:]
LOADING = as_json({"error": "Model m is currently loading", "estimated_time": 0.1}, 503)
# Long against the limits here, short against what a test may take.
DRIP = [Pause(0.02)] * 1000


def dripping(piece):
    return [step for pause in DRIP for step in (piece, pause)]


class TestTimeout:
    def test_one_number_is_for_each_phase(self):
        assert Timeout.of(5) == Timeout(connect=5, first_token=5, between_tokens=5, total=None)
        assert Timeout.of(30).connect == 10

    def test_none_is_no_limit(self):
        assert Timeout.of(None) == Timeout(connect=None, first_token=None, between_tokens=None)

    @pytest.mark.parametrize("phase", ["connect", "first_token", "between_tokens", "total"])
    @pytest.mark.parametrize("wrong", [0, -1, "5", True, float("nan")])
    def test_what_cannot_be_is_refused_by_name(self, phase, wrong):
        with pytest.raises(hfgen.InvalidRequestError, match=phase):
            Timeout(**{phase: wrong})


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("body", [[Hang()], dripping(b":\n"), dripping(b" ")])
def test_first_token(side, serve, verb, body):
    server = serve(answer(*body, content_type="text/event-stream"))
    if verb == "stream_bytes" and body[0] == b" ":
        pytest.skip("to a stream of bytes a byte is what it waits for")
    timeout = Timeout(connect=0.1, first_token=0.2)
    with pytest.raises(hfgen.TimeoutError, match="first token") as caught:
        side.outcome(verb, server, timeout=timeout)
    assert caught.value.phase == "first_token"
    side.wait_for(server.request().hung_up)
    assert len(server.requests) == 1


@pytest.mark.parametrize("verb", ["stream", "stream_tokens"])
@pytest.mark.parametrize("rest", [[Hang()], dripping(b":\n\n"), dripping(b"d")])
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


def test_total_has_the_waits_in_it(side, serve):
    server = serve(as_json({"error": "busy"}, 503, retry_after="30"))
    started = time.monotonic()
    with pytest.raises(hfgen.TimeoutError) as caught:
        side.run(server, timeout=Timeout(total=0.3))
    assert caught.value.phase == "total"
    assert time.monotonic() - started < 20


def test_a_slow_stream_within_its_limits_is_well(side, serve):
    steps = [step for _ in range(5) for step in (token("a"), Pause(0.2))]
    server = serve(events(*steps, token("b", last="aaaaab")))
    timeout = Timeout(first_token=5, between_tokens=5)
    assert len(side.collect(side.stream_tokens(server, timeout=timeout))) == 6


def test_what_the_reader_takes_for_the_first_token_does_not_count(side, serve):
    server = serve(events(token("a"), token("b", last="ab")))
    stream = side.stream_tokens(server, timeout=Timeout(connect=0.1, first_token=0.4))
    # It has come, and lies there.
    side.sleep(0.7)
    assert side.next(stream) == "a"
    side.sleep(0.7)
    assert side.collect(stream) == ["b"]


def test_what_the_reader_takes_does_not_count(side, serve):
    server = serve(events(token("a"), token("b"), Pause(0.2), token("c", last="abc")))
    stream = side.stream_tokens(server, timeout=Timeout(between_tokens=0.5))
    for _ in range(3):
        assert side.next(stream)
        side.sleep(0.7)
    assert side.collect(stream) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_model_that_loads_is_waited_for(side, serve, verb):
    told = []
    good = as_json({"generated_text": "a"}) if verb == "run" else events(token("a", last="a"))
    server = serve(LOADING, LOADING, good)
    side.outcome(
        verb,
        server,
        wait_for_model=30,
        max_retries=0,
        on_retry=lambda attempt, wait, error: told.append((attempt, wait, type(error))),
    )
    assert told == [(1, 1.0, hfgen.ModelLoadingError), (2, 1.0, hfgen.ModelLoadingError)]
    assert len(server.requests) == 3


def test_but_not_for_ever(side, serve):
    with pytest.raises(hfgen.ModelLoadingError):
        side.run(serve(LOADING), wait_for_model=0.2, max_retries=0)


def test_true_means_ten_minutes(side):
    settings = side.client(wait_for_model=True)._session.settings
    assert settings.retry == Retry(wait_for_model=600.0)
    assert side.client(wait_for_model=False)._session.settings.retry == Retry()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://x.us-east-1.aws.endpoints.huggingface.cloud/generate", "45"),
        ("https://endpoints.huggingface.cloud.evil.com/generate", None),
        ("https://router.huggingface.co/hf-inference/models/x", None),
    ],
)
def test_an_endpoint_is_asked_to_hold_the_request(side, url, asked):
    seen = []

    def answered(request):
        seen.append(request.headers.get("x-scale-up-timeout"))
        return hfgen.FetchResponse(status=200, body=[b'{"generated_text": "a"}'])

    async def answered_async(request):
        response = answered(request)

        async def body():
            yield response.body[0]

        return hfgen.FetchResponse(status=200, body=body())

    fetch = answered if side.name == "sync" else answered_async
    side.call(side.client(fetch=fetch, api_url=url).run, "x", wait_for_model=44.5)
    side.call(side.client(fetch=fetch, api_url=url).run, "x")
    assert seen == [asked, None]


@pytest.mark.parametrize("verb", STREAMS)
def test_overload_before_the_first_token_is_tried_again(side, serve, verb):
    busy = events({"error": "Model is overloaded", "error_type": "overloaded"})
    sglang = {"error": {"message": "The request queue is full.", "type": "SERVICE_UNAVAILABLE",
                        "code": 503}}  # fmt: skip
    good = events(b": hello\n\n", token("a"), token("b", last="ab"))
    server = serve(busy, events(sglang, b"data: [DONE]\n\n"), good)
    items = side.collect(getattr(side, verb)(server, retry=Retry(backoff=0.01)))
    assert len(server.requests) == 3
    if verb == "stream_bytes":
        assert b"".join(items) == b"".join(
            piece for piece in (step_bytes(step) for step in good.body)
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


def test_what_on_retry_raises_ends_the_call(side, serve):
    class Enough(Exception):  # noqa: N818
        pass

    def on_retry(attempt, wait, error):
        raise Enough

    server = serve(as_json({"error": "busy"}, 503))
    with pytest.raises(Enough):
        side.run(server, on_retry=on_retry)
    assert len(server.requests) == 1
