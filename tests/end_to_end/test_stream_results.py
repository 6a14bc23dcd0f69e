"""What a stream has besides its items: `text` and `details`."""

import pytest

import hfgen
from helpers.completion_streams import USAGE, piece
from helpers.scripted_answers import as_json, events, token
from hfgen.testing import Cut, done
from hfgen.types import StreamDetails

DETAILS = {"finish_reason": "length", "generated_tokens": 2, "seed": None, "input_length": 4}
WHOLE = StreamDetails(finish_reason="length", generated_tokens=2, input_length=4)
TGI = events(token("Once"), {**token(" upon", last="Once upon", index=2), "details": DETAILS})
COMPLETIONS = events(
    piece("Once"), piece(" upon", "length"), {"choices": [], "usage": USAGE}, done()
)
JSON = as_json({"generated_text": "Once upon", "details": {**DETAILS, "tokens": []}})


@pytest.mark.parametrize("verb", ["stream", "stream_tokens"])
@pytest.mark.parametrize(
    ("answer", "dialect"),
    [(TGI, "tgi"), (COMPLETIONS, "completions"), (JSON, "tgi")],
    ids=["tgi", "completions", "json"],
)
def test_text_and_details_after_the_end(side, serve, verb, answer, dialect):
    server = serve(answer, speaks="vllm" if dialect == "completions" else "tgi")
    client = side.client(api_url=server.url, dialect=dialect)
    stream = side.call(getattr(client, verb), "x")
    assert stream.details is None
    side.collect(stream)
    assert (stream.text, stream.details) == ("Once upon", WHOLE)


@pytest.mark.parametrize("verb", ["stream", "stream_tokens"])
def test_the_text_so_far(side, serve, verb):
    stream = getattr(side, verb)(serve(events(token("Once"), token("</s>", special=True), Cut())))
    assert stream.text == ""
    with pytest.raises(hfgen.IncompleteGenerationError) as caught:
        side.collect(stream)
    assert (stream.text, stream.details) == (caught.value.text, None) == ("Once", None)


@pytest.mark.parametrize("verb", ["stream", "stream_tokens"])
def test_of_a_stream_that_was_resumed(side, serve, verb):
    server = serve(events(token("Tell"), token(" me:", index=2), Cut()), TGI)
    stream = getattr(side, verb)(server, resume=True)
    side.collect(stream)
    assert stream.text == "Tell me:Once upon"
    assert stream.details == StreamDetails(
        finish_reason="length", generated_tokens=4, input_length=2
    )


@pytest.mark.parametrize("verb", ["stream", "stream_tokens"])
def test_without_details_there_are_none(side, serve, verb):
    stream = getattr(side, verb)(serve(events(token("Once", last="Once"))))
    side.collect(stream)
    assert (stream.text, stream.details) == ("Once", None)


def test_details_that_cannot_be_read_do_not_fail_a_stream_of_texts(side, serve):
    broken = {**token("Once", last="Once"), "details": {"generated_tokens": "two"}}
    stream = side.stream_tokens(serve(events(broken)))
    assert side.collect(stream) == ["Once"]
    assert stream.details is None


def test_a_stream_of_bytes_has_neither(side, serve):
    stream = side.stream_bytes(serve(TGI))
    side.collect(stream)
    assert (stream.text, stream.details) == ("", None)
