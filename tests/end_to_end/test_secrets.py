"""Keys go nowhere but to their server: not into errors, logs or chains of exceptions."""

import logging
import pickle
import traceback

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from hfgen.testing import Cut, Hang, event

KEY = "hf_a_secret_key_of_somebody"
ERROR = {"error": f"Invalid key {KEY}: Bearer {KEY}"}


def failure_of(side, *args, **options):
    with pytest.raises(hfgen.HfgenError) as caught:
        side.outcome(*args, **options)
    return caught.value


def assert_hidden(error):
    for shown in (
        str(error),
        repr(error),
        repr(vars(error)),
        repr(pickle.loads(pickle.dumps(error))),
    ):
        assert KEY not in shown
    assert "Invalid key ***" in str(error)


@pytest.mark.parametrize("options", [{"api_key": KEY}, {"headers": {"X-Api-Key": KEY}}])
@pytest.mark.parametrize("verb", ["run", "stream_tokens"])
@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_that_the_server_quotes(side, serve, verb, status, options):
    server = serve(as_json(ERROR, status))
    error = failure_of(side, verb, server, max_retries=0, **options)
    assert_hidden(error)


def test_a_key_that_the_server_quotes_inside_a_stream(side, serve):
    server = serve(events(token("a"), event(ERROR)))
    error = failure_of(side, "stream_tokens", server, max_retries=0, api_key=KEY)
    assert_hidden(error)
    assert error.text == "a"


def test_a_key_that_the_server_quotes_before_a_retry(side, serve, caplog):
    caplog.set_level(logging.DEBUG, "hfgen")
    server = serve(as_json(ERROR, 503), as_json({"generated_text": "a"}))
    notices = []

    def on_retry(retries, wait, error):
        notices.append(error)

    side.outcome("run", server, api_key=KEY, on_retry=on_retry, retry=hfgen.Retry(backoff=0))
    assert_hidden(notices[0])
    assert KEY not in caplog.text


def test_a_short_key_hides_no_words(side, serve):
    server = serve(as_json({"error": "a bad request"}, 400))
    error = failure_of(side, "run", server, api_key="a")
    assert "a bad request" in str(error)


@pytest.mark.parametrize("script", [None, answer(Cut()), events(token("a"), Cut())])
def test_no_frame_of_the_chain_holds_a_key(side, serve, script):
    """Tools that report errors show the local variables of all frames."""
    url = f"{serve(script).url if script else 'http://127.0.0.1:9'}/generate"
    error = failure_of(
        side, "stream_tokens", None, api_url=url, max_retries=0, resume=False, api_key=KEY
    )
    link = error.__cause__ or error.__context__
    assert link is not None
    while link is not None:
        for frame, _ in traceback.walk_tb(link.__traceback__):
            assert KEY not in repr(frame.f_locals)
        link = link.__cause__ or link.__context__


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_headers_that_would_break_the_framing_are_refused(side, name):
    with pytest.raises(hfgen.InvalidRequestError, match=f"{name}.*leave it out"):
        side.run(None, api_url="http://127.0.0.1:9", headers={name: "1"})


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("content", [as_json, answer])
def test_a_terminal_does_not_act_on_an_error(side, serve, status, content):
    text = "no\x1b]0;title\x07 \x9b31m\x08way"
    body = {"error": text} if content is as_json else text.encode()
    error = failure_of(side, "run", serve(content(body, status=status)), max_retries=0)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in str(error))


SECRET = "s3cr3t-of-the-query"


@pytest.mark.parametrize(
    "script",
    [
        None,
        answer(Cut()),
        events(token("a"), Hang()),
        events(token("a")),
        as_json({}),
        as_json([1]),
        as_json({"error": "no"}, 401),
        as_json({"error": "no"}, 404),
        as_json({"error": "no"}, 503),
        answer(b"", status=307, location=f"ftp://other/?key={SECRET}"),
        answer(b"", status=307, location=f"http://127.0.0.1:9/?key={SECRET}"),
        answer(b"", status=307, location=f"?key={SECRET}"),
        answer(b"x", framing="length", content_encoding="br"),
        answer(b"x", framing="length", content_encoding="gzip"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "stream"])
@pytest.mark.parametrize("dialect", ["auto", "tgi"])
def test_no_error_shows_a_secret_of_the_url(side, serve, script, verb, dialect):
    base = serve(script).url if script else "http://127.0.0.1:9"
    options = {"max_retries": 0, "timeout": 0.1, "dialect": dialect}
    error = failure_of(side, verb, None, api_url=f"{base}/x?key={SECRET}", **options)
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__
