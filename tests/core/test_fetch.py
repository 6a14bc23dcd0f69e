"""`fetch`: a callable in place of the transport."""

import threading

import pytest

import hfgen
from helpers.scripted_answers import token
from helpers.sync_and_async import reply
from hfgen import FetchRequest, FetchResponse
from hfgen.testing import event

URL = "http://localhost/generate"
ANSWER = b'{"generated_text": "a"}'
STORY = [event(token("a")), event(token("b", last="ab"))]


def test_a_fetch_takes_five_lines():
    def fetch(request):
        body = b'{"generated_text": "Once upon"}'
        return FetchResponse(status=200, body=[body])

    client = hfgen.Client(fetch=fetch, api_url=URL)
    assert client.run("x")[0].generated_text == "Once upon"


async def test_an_async_fetch_takes_seven_lines():
    async def pieces():
        yield b'{"generated_text": '
        yield b'"Once upon"}'

    async def fetch(request):
        return FetchResponse(status=200, body=pieces())

    client = hfgen.AsyncClient(fetch=fetch, api_url=URL)
    assert (await client.run("x"))[0].generated_text == "Once upon"


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
def test_a_fetch_gets_every_field_of_the_request(side, verb):
    requests = []
    fetch = side.fetch(lambda request: requests.append(request) or reply(STORY))
    answering_fetch = side.fetch(lambda request: requests.append(request) or reply(ANSWER))
    client = side.client(fetch=answering_fetch if verb == "run" else fetch)
    side.call(
        getattr(client, verb),
        {"model": "m/n", "inputs": "x"},
        api_url="http://localhost/models/",
        api_key="hf_key",
        headers={"X-A": "1"},
        timeout=3,
    )
    [request] = requests
    assert isinstance(request, FetchRequest)
    assert request.method == "POST"
    assert request.url == "http://localhost/models/m/n"
    assert request.headers["Authorization"] == "Bearer hf_key"
    assert request.headers["x-a"] == "1"
    assert dict(request.headers)["content-type"] == "application/json"
    assert request.body.startswith(b'{"inputs":"x"')
    assert request.timeout == 3.0
    assert not request.signal.aborted


def test_a_request_shows_no_key():
    request = FetchRequest(
        method="POST",
        url="https://u:hf_key@host/a?key=hf_key",
        headers={"Authorization": "Bearer hf_key", "X-API-Key": "hf_key", "cookie": "hf_key"},
        body=b"hf_key",
    )
    assert "hf_key" not in f"{request!r} {request} {request.__rich_repr__()}"


def test_streams_over_a_fetch(side):
    client = side.client(fetch=side.fetch(lambda _: reply(STORY)), api_url=URL)
    assert side.collect(side.call(client.stream_tokens, "x")) == ["a", "b"]
    assert b"".join(side.collect(side.call(client.stream_bytes, "x"))) == b"".join(STORY)


def test_a_fetch_can_be_passed_to_one_call(side):
    client = side.client(api_url=URL, fetch=side.fetch(lambda _: reply(b"{}")))
    answering_fetch = side.fetch(lambda _: reply(ANSWER))
    assert side.call(client.run, "x", fetch=answering_fetch)[0].generated_text == "a"


@pytest.mark.parametrize("verb", ["run", "stream_tokens"])
@pytest.mark.parametrize(
    "answer", [None, 5, "text", b"bytes", (200, {}, b""), {"status": 200}, object()]
)
def test_another_type_of_response_is_a_type_error(side, verb, answer):
    async def asynchronous(request):
        return answer

    fetch = asynchronous if side.name == "async" else lambda _: answer
    client = side.client(fetch=fetch, api_url=URL)
    with pytest.raises(TypeError, match="FetchResponse"):
        side.call(getattr(client, verb), "x")


@pytest.mark.parametrize("body", [ANSWER, None, 5, "text"])
def test_a_body_of_a_wrong_type_is_a_type_error(side, body):
    answer = FetchResponse(status=200, body=body)

    async def asynchronous(request):
        return answer

    fetch = asynchronous if side.name == "async" else lambda _: answer
    client = side.client(fetch=fetch, api_url=URL)
    with pytest.raises(TypeError, match="body"):
        side.call(client.run, "x")


def test_a_body_of_text_is_a_type_error(side):
    client = side.client(fetch=side.fetch(lambda _: reply(["text"])), api_url=URL)
    for verb in (client.run, client.stream_tokens, client.stream_bytes):
        with pytest.raises(TypeError):  # noqa: PT012 - either may raise it
            came = side.call(verb, "x")
            side.collect(came)


def test_a_sync_body_on_the_async_side_is_a_type_error(side):
    if side.name == "sync":

        async def fetch(request):
            return FetchResponse(status=200, body=[ANSWER])

    else:

        def fetch(request):
            return FetchResponse(status=200, body=[ANSWER])

    client = side.client(fetch=fetch, api_url=URL)
    with pytest.raises(TypeError):
        side.call(client.run, "x")


class Unreadable:
    """It has the methods, and they give no iterator."""

    def __aiter__(self):
        return 5

    def __iter__(self):
        return 5


@pytest.mark.parametrize("verb", ["run", "stream_tokens"])
def test_a_response_whose_body_cannot_be_iterated_is_closed(side, verb):
    closed = threading.Event()
    answer = FetchResponse(status=200, body=Unreadable(), close=closed.set)

    async def asynchronous(request):
        return answer

    fetch = asynchronous if side.name == "async" else lambda _: answer
    client = side.client(fetch=fetch, api_url=URL)
    with pytest.raises(TypeError):
        side.call(getattr(client, verb), "x")
    side.wait_for(closed)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError("no route"), hfgen.ConnectError),
        (ConnectionResetError("reset"), hfgen.ConnectError),
        (TimeoutError("too slow"), hfgen.TimeoutError),
        (ValueError("of its own"), ValueError),
        (RuntimeError("of its own"), RuntimeError),
        (hfgen.AbortError("of hfgen"), hfgen.AbortError),
        (hfgen.NotFoundError("of hfgen", status=404), hfgen.NotFoundError),
        (StopIteration("of its own"), RuntimeError),
    ],
)
def test_errors_that_a_fetch_raises(side, raised, expected):
    calls = []

    def fail(request):
        calls.append(request)
        raise raised

    client = side.client(fetch=side.fetch(fail), api_url=URL, max_retries=1)
    with pytest.raises(expected) as caught:
        side.call(client.run, "x")
    if not isinstance(raised, StopIteration):
        assert raised in {caught.value, caught.value.__cause__}
        assert str(raised) in str(caught.value)
    assert len(calls) == (2 if isinstance(raised, OSError) and expected is not hfgen.TimeoutError
                          else 1)  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectionResetError("reset"), hfgen.IncompleteGenerationError),
        (TimeoutError("too slow"), hfgen.TimeoutError),
        (ValueError("of its own"), ValueError),
    ],
)
def test_errors_that_the_body_raises(side, raised, expected):
    closed = threading.Event()

    def pieces():
        yield STORY[0]
        raise raised

    answering_fetch = side.fetch(lambda _: reply(pieces(), close=closed.set))
    client = side.client(fetch=answering_fetch, api_url=URL)
    items = []
    with pytest.raises(expected) as caught:
        side.collect(side.call(client.stream_tokens, "x"), items)
    assert items == ["a"]
    if expected is not ValueError:
        assert caught.value.text == "a"
    side.wait_for(closed)


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
@pytest.mark.parametrize("status", [200, 404])
def test_close_is_called_when_all_is_read(side, verb, status):
    closed = threading.Event()
    body = [ANSWER] if verb == "run" else STORY
    answering_fetch = side.fetch(lambda _: reply(body, status=status, close=closed.set))
    client = side.client(fetch=answering_fetch, api_url=URL)
    try:
        came = side.call(getattr(client, verb), "x")
        if verb != "run":
            side.collect(came)
    except hfgen.NotFoundError:
        assert status == 404
    side.wait_for(closed)


def test_close_is_called_when_the_stream_is_left(side):
    closed = threading.Event()
    client = side.client(fetch=side.fetch(lambda _: reply(STORY, close=closed.set)), api_url=URL)
    stream = side.call(client.stream_tokens, "x")
    side.close(stream)
    side.wait_for(closed)


async def test_an_async_close_is_awaited():
    closed = []

    async def pieces():
        for piece in STORY:
            yield piece

    async def close():
        closed.append("begun")
        closed.append("done")

    async def fetch(request):
        return FetchResponse(status=200, body=pieces(), close=close)

    client = hfgen.AsyncClient(fetch=fetch, api_url=URL)
    async with await client.stream_tokens("x") as stream:
        assert await anext(stream) == "a"
    assert "done" in closed
    closed.clear()
    stream = await client.stream_tokens("x")
    assert [text async for text in stream] == ["a", "b"]
    await stream.aclose()
    assert "done" in closed


def test_pieces_may_be_empty(side):
    body = [b"", STORY[0][:5], b"", STORY[0][5:], *STORY[1:], b""]
    client = side.client(fetch=side.fetch(lambda _: reply(body)), api_url=URL)
    assert side.collect(side.call(client.stream_tokens, "x")) == ["a", "b"]
    received = side.collect(side.call(client.stream_bytes, "x"))
    assert b"".join(received) == b"".join(STORY)
    assert all(received)


def test_names_of_headers_may_have_any_case(side):
    answer = FetchResponse(
        status=200,
        headers={"CONTENT-TYPE": "application/json"},
        body=[ANSWER] if side.name == "sync" else None,
    )

    async def pieces():
        yield ANSWER

    async def asynchronous(request):
        return FetchResponse(status=200, headers=answer.headers, body=pieces())

    fetch = asynchronous if side.name == "async" else lambda _: answer
    stream = side.call(side.client(fetch=fetch, api_url=URL).stream_tokens, "x")
    assert stream.headers["content-type"] == "application/json"
    assert side.collect(stream) == ["a"]


def test_public_names():
    request = FetchRequest(method="POST", url=URL, headers={})
    assert (request.body, request.timeout, request.signal) == (b"", None, None)
    with pytest.raises(AttributeError):
        request.url = "other"
    response = FetchResponse(status=204)
    assert list(response.body) == []
    assert response.close() is None
    with pytest.raises(TypeError):
        FetchResponse(200)


@pytest.mark.parametrize("wrong", [{"status": "200"}, {"headers": [("a", "b")]}])
def test_a_response_with_a_wrong_field_is_closed_and_refused_by_its_name(side, wrong):
    closed = threading.Event()
    answer = FetchResponse(**{"status": 200, "body": [], "close": closed.set, **wrong})

    async def asynchronous(request):
        return answer

    fetch = asynchronous if side.name == "async" else lambda _: answer
    client = side.client(fetch=fetch, api_url=URL)
    with pytest.raises(TypeError, match=next(iter(wrong))):
        side.call(client.run, "x")
    assert closed.is_set()
