"""Streams that break and are resumed, over real sockets."""

import asyncio
import gc

import pytest

import hfgen
from helpers.scripted_answers import as_json, events, token
from hfgen import FetchResponse
from hfgen._async.transport import AsyncTransport
from hfgen._io.connecting import ConnectionOptions
from hfgen._sync.transport import SyncTransport
from hfgen.testing import Cut, Hang, done

STORY = ["Once", " upon", " a", " time"]
QUICK = hfgen.Retry(max_retries=3, backoff=0.0)
BREAKS = {
    "closed": [Cut()],
    "reset": [Cut(reset=True)],
    "ended": [],
    "error event": [{"error": "broken", "error_type": "incomplete_generation_stream"}],
    "mid-event": [b'data: {"index": 3, "tok', Cut()],
}


def make_part(texts, *steps, whole=None):
    chunks = [token(text, index=index) for index, text in enumerate(texts, start=1)]
    if whole is not None:
        chunks[-1]["generated_text"] = whole
    return events(*chunks, *steps)


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_broken_stream_is_resumed(side, serve, how, count):
    broken = make_part(STORY[:count], *BREAKS[how])
    rest = make_part(STORY[count:], whole="".join(STORY[count:]))
    server = serve(broken, rest, broken, rest)
    request = {"inputs": "Tell", "parameters": {"max_new_tokens": 9, "stop": ["END"]}}
    chunks = side.collect(side.stream(server, request, resume=True))
    assert [chunk.token.text for chunk in chunks] == STORY
    assert [chunk.index for chunk in chunks] == [1, 2, 3, 4]
    assert [chunk.resumed for chunk in chunks] == [i >= count for i in range(4)]
    assert chunks[-1].generated_text == "Once upon a time"
    assert server.requests[1].json == {
        "inputs": "Tell" + "".join(STORY[:count]),
        "parameters": {"max_new_tokens": 9 - count, "stop": ["END"], "do_sample": False},
        "stream": True,
    }
    assert side.collect(side.stream_tokens(server, request, resume=True)) == STORY


def test_a_stream_that_breaks_after_each_token_is_resumed_each_time(side, serve):
    server = serve(
        *(make_part([text], Cut()) for text in STORY[:-1]), make_part([STORY[-1]], whole=" time")
    )
    assert side.collect(side.stream_tokens(server, resume=True, max_retries=1)) == STORY
    assert len(server.requests) == 4


def test_the_retry_policy_limits_resuming(side, serve):
    server = serve(make_part(["Once"], Cut()), as_json({"error": "down"}, 503, retry_after="0"))
    items = []
    with pytest.raises(hfgen.ServerError) as caught:
        side.collect(side.stream_tokens(server, resume=True, max_retries=2), items)
    assert items == ["Once"]
    assert caught.value.text == "Once"
    assert len(server.requests) == 3


def test_a_resumed_stream_closes_when_it_is_dropped(side, serve):
    busy = as_json({"error": "busy"}, 503, retry_after="0")
    server = serve(make_part(["Once"], Cut()), busy, make_part([" upon"], Hang()))
    stream = side.stream_tokens(server, resume=True)
    assert [side.next(stream), side.next(stream)] == ["Once", " upon"]
    gc.disable()
    try:
        del stream
        side.wait_for(server.request(2).hung_up)
    finally:
        gc.enable()


def test_without_resume_a_break_is_an_error(side, serve):
    server = serve(make_part(["Once"], Cut()))
    with pytest.raises(hfgen.IncompleteGenerationError) as caught:
        side.collect(side.stream_tokens(server))
    assert caught.value.text == "Once"


def test_a_break_that_cannot_be_resumed_exactly_is_an_error(side, serve):
    server = serve(make_part(["Once", " up"], Cut()))
    request = {"inputs": "Tell", "parameters": {"stop": ["upon"]}}
    with pytest.raises(hfgen.IncompleteGenerationError) as caught:
        side.collect(side.stream_tokens(server, request, resume=True))
    assert caught.value.text == "Once up"
    assert len(server.requests) == 1


def test_other_errors_are_not_resumed(side, serve):
    error_event = {"error": "no", "error_type": "generation"}
    server = serve(make_part(["Once"], error_event))
    with pytest.raises(hfgen.GenerationError) as caught:
        side.collect(side.stream_tokens(server, resume=True))
    assert caught.value.text == "Once"
    assert len(server.requests) == 1


# Tokens with their ids. A character of several tokens has its text in the last of them.
CHARACTERS = [
    (1, "Once"), (2, ""), (3, "é"), (4, ""), (5, ""), (6, ""), (7, "🙂"), (8, " b"), (9, ""),
    (10, "à"), (11, ""), (12, ""),
]  # fmt: skip


def continue_after(text, speaks, limit):
    """Return what a model that knows only `CHARACTERS` makes of a prompt that ends with `text`."""
    rest = list(CHARACTERS)
    for _, token_text in CHARACTERS:
        if not text:
            break
        text = text.removeprefix(token_text)
        rest.pop(0)
    steps = []
    for place, (token_id, token_text) in enumerate(rest[:limit], start=1):
        is_last = place == limit
        if speaks == "completions":
            reason = "length" if is_last else None
            choice = {"index": 0, "text": token_text, "token_ids": [token_id]}
            steps.append({"choices": [{**choice, "finish_reason": reason}]})
            continue
        step = token(token_text, index=place, last="?" if is_last else None)
        step["token"]["id"] = token_id
        if is_last:
            step["generated_text"] = "".join(text for _, text in rest[:limit])
            step["details"] = {"finish_reason": "length", "generated_tokens": limit}
        steps.append(step)
    return steps


@pytest.mark.parametrize("speaks", ["tgi", "completions"])
@pytest.mark.parametrize("limit", [4, 7, 12])
def test_a_break_inside_a_character_of_several_tokens(side, serve, speaks, limit):
    counts = iter([])

    def answer_prompt(request):
        body = request.json
        prompt = body.get("inputs") or body["prompt"]
        left = body["parameters"]["max_new_tokens"] if "inputs" in body else body["max_tokens"]
        steps = continue_after(prompt.removeprefix("Tell: "), speaks, left)
        count = next(counts, None)
        ending = [Cut()] if count is not None else [done()] if speaks == "completions" else []
        return events(*steps[:count], *ending)

    server = serve(answer_prompt)
    request = {"inputs": "Tell: ", "model": "m", "parameters": {"max_new_tokens": limit}}
    options = {"api_url": server.url, "dialect": speaks, "resume": True, "retry": QUICK}
    if speaks == "completions":
        request["parameters"]["details"] = True
    expected = CHARACTERS[:limit]
    for count in range(1, limit):
        for cuts in ([count], [count, 1], [count, 3]):
            counts = iter(cuts)
            chunks = side.collect(side.stream(None, request, **options))
            assert [(chunk.token.id, chunk.token.text) for chunk in chunks] == expected
            assert [chunk.index for chunk in chunks] == list(range(1, limit + 1))
            assert chunks[-1].generated_text == "".join(text for _, text in expected)
            assert chunks[-1].details.generated_tokens == limit
    counts = iter([5])
    texts = side.collect(side.stream_tokens(None, request, **options))
    assert texts == [text for _, text in expected]


@pytest.mark.parametrize("verb", ["run", "stream_bytes"])
def test_only_streams_of_tokens_can_be_resumed(side, serve, verb):
    server = serve(as_json({"generated_text": "a"}))
    with pytest.raises(hfgen.InvalidRequestError, match="resume"):
        getattr(side, verb)(server, resume=True)
    # As an option of the client it applies only to verbs that can be resumed.
    client = side.client(resume=True, api_url=server.url)
    assert side.call(client.run, "x")[0].generated_text == "a"


class Breaking:
    """A `fetch` over hfgen's own transport whose first stream breaks after `count` events."""

    def __init__(self, count):
        self._remaining = count
        self._broken = False

    def cut(self, body):
        for piece in body:
            for event in self._events(piece):
                if self._count_event():
                    raise hfgen.ConnectError("broke")
                yield event

    async def cut_async(self, body):
        async for piece in body:
            for event in self._events(piece):
                if self._count_event():
                    raise hfgen.ConnectError("broke")
                yield event

    def _events(self, piece):
        # The local server writes whole events; several may have come at once.
        return [part + b"\n\n" for part in piece.split(b"\n\n") if part]

    def _count_event(self):
        self._remaining -= 1
        self._broken |= self._remaining < 0
        return self._broken and self._remaining == -1


def make_breaking_fetch(side, count, transports):
    breaking = Breaking(count)

    def replace_body(response, body):
        return FetchResponse(
            status=response.status, headers=response.headers, body=body, close=response.close
        )

    if side.name == "sync":
        transport = SyncTransport(ConnectionOptions())
        return lambda request: replace_body(
            response := transport(request), breaking.cut(response.body)
        )
    transport = AsyncTransport(ConnectionOptions())

    async def fetch(request):
        response = await transport(request)
        return replace_body(response, breaking.cut_async(response.body))

    transports.append(transport)
    return fetch


@pytest.mark.parametrize("route", ["/", "/generate_stream"])
def test_a_greedy_text_is_the_same_wherever_the_stream_breaks(side, local_server, route):
    url = local_server.url + route
    request = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 24, "details": True}}
    client = side.client(api_url=url)
    unbroken = side.collect(side.call(client.stream, request))
    assert len(unbroken) == 24
    transports = []
    for count in range(1, len(unbroken)):
        fetch = make_breaking_fetch(side, count, transports)
        chunks = side.collect(side.call(client.stream, request, fetch=fetch, resume=True))
        assert [c.token for c in chunks] != []
        assert [c.token.id for c in chunks] == [c.token.id for c in unbroken], count
        assert [c.index for c in chunks] == [c.index for c in unbroken]
        assert chunks[-1].generated_text == unbroken[-1].generated_text
        assert chunks[-1].details == unbroken[-1].details
        assert chunks[-1].resumed
    if side.name == "async":
        side.call(asyncio.gather, *(transport.aclose() for transport in transports))
