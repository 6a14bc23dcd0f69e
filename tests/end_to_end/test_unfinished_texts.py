"""Texts that the server calls unfinished, by the finish reason or by an error beside them."""

import pytest

import hfgen
from hfgen.testing import as_json, done, events, tokens

VERBS = ["run", "stream", "stream_tokens"]


def completion(*texts, reason="length", **choice):
    """A stream of completions whose last choice has the finish reason."""
    choices = [{"index": 0, "text": text, "finish_reason": None} for text in texts]
    choices[-1] |= {"finish_reason": reason, **choice}
    return events(*({"choices": [choice]} for choice in choices), done())


def whole_completion(text, reason="length", **choice):
    return as_json({"choices": [{"index": 0, "text": text, "finish_reason": reason, **choice}]})


def generation(text, reason):
    return as_json({"generated_text": text, "details": {"finish_reason": reason}})


ANSWERS = {
    "tgi": lambda reason: tokens("a", "b", finish_reason=reason),
    "tgi, whole": lambda reason: generation("ab", reason),
    "completions": lambda reason: completion("a", "b", reason=reason),
    "completions, whole": lambda reason: whole_completion("ab", reason),
}


def fail(side, verb, server, speaks, **options):
    """Return the error, and the items that came before it."""
    dialect = "completions" if speaks.startswith("completions") else "tgi"
    options = {"dialect": dialect, "api_url": server.url, **options}
    request = {"inputs": "x", "model": "m", "parameters": {"max_new_tokens": 9}}
    items = []
    try:
        stream = getattr(side, verb)(None, request, **options)
        if verb != "run":
            side.collect(stream, items)
    except hfgen.HfgenError as error:
        return error, items
    raise AssertionError("no error was raised")


@pytest.mark.parametrize("speaks", ANSWERS)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("reason", "kind"),
    [("abort", hfgen.IncompleteGenerationError), ("content_filter", hfgen.ContentFilterError)],
)
def test_is_an_error_that_has_the_text(side, serve, verb, speaks, reason, kind):
    server = serve(ANSWERS[speaks](reason))
    error, items = fail(side, verb, server, speaks)
    assert type(error) is kind
    assert error.text == "ab"
    assert f"finish reason '{reason}'" in str(error)
    assert len(server.requests) == 1
    if not speaks.endswith("whole") and verb == "stream_tokens":
        assert items == ["a", "b"]


EMPTY = {
    "tgi": (tokens("", finish_reason="error"), tokens("ab")),
    "tgi, whole": (generation("", "error"), generation("ab", "length")),
    "completions": (completion("", reason="abort"), completion("ab")),
    "completions, whole": (whole_completion("", "abort"), whole_completion("ab")),
    "completions, an error": (
        completion("", reason="error", error={"code": 502, "message": "gone"}),
        completion("ab"),
    ),
}


# A stream that a JSON answer was opened for is not tried again: its body is read after that.
CASES = [(case, verb) for case in EMPTY for verb in VERBS if "whole" not in case or verb == "run"]


@pytest.mark.parametrize(("case", "verb"), CASES)
def test_a_generation_that_broke_off_before_its_first_token_is_tried_again(side, serve, verb, case):
    server = serve(*EMPTY[case])
    dialect = "completions" if case.startswith("completions") else "tgi"
    request = {"inputs": "x", "model": "m", "parameters": {"max_new_tokens": 9}}
    result = getattr(side, verb)(None, request, api_url=server.url, dialect=dialect)
    result = result if verb == "run" else side.collect(result)
    text = result[-1] if verb == "stream_tokens" else result[-1].generated_text
    assert text == "ab"
    assert len(server.requests) == 2


def test_a_filtered_text_is_not_tried_again(side, serve):
    server = serve(completion("", reason="content_filter"))
    error, _ = fail(side, "stream", server, "completions")
    assert isinstance(error, hfgen.ContentFilterError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("speaks", ["tgi", "completions"])
def test_resume_goes_on_after_a_generation_that_broke_off(side, serve, speaks):
    rest = {"tgi": tokens("c", "d"), "completions": completion("c", "d")}
    server = serve(ANSWERS[speaks]("abort"), rest[speaks])
    request = {"inputs": "x", "model": "m", "parameters": {"max_new_tokens": 9}}
    options = {"api_url": server.url, "dialect": speaks, "resume": True}
    chunks = side.collect(side.stream(None, request, **options))
    assert [chunk.token.text for chunk in chunks] == ["a", "b", "c", "d"]
    assert chunks[-1].generated_text == "abcd"


@pytest.mark.parametrize("speaks", ["tgi", "completions"])
def test_resume_does_not_go_on_after_a_filtered_text(side, serve, speaks):
    server = serve(ANSWERS[speaks]("content_filter"))
    error, items = fail(side, "stream", server, speaks, resume=True)
    assert isinstance(error, hfgen.ContentFilterError)
    assert (error.text, len(items), len(server.requests)) == ("ab", 2, 1)


def test_stream_bytes_has_the_bytes_of_the_server(side, serve):
    answer = tokens("a", finish_reason="abort")
    stream = side.stream_bytes(serve(answer), max_retries=0)
    assert b"".join(side.collect(stream)) == answer.content
