"""The conversation with each step made by the test: no server, no clock, no event loop."""

import json
from functools import partial

import pytest
from msgspec.structs import replace

import hfgen
from helpers.byte_cuts import same_every_way
from helpers.conversations import StoppedClock, accept_with
from helpers.scripted_answers import token
from hfgen import ConnectError, FetchRequest, FetchResponse
from hfgen import TimeoutError as ServerTooSlow
from hfgen._core import verbs
from hfgen._core.body import EventBody, JsonBody, RawBody
from hfgen._core.conversation import Drop, Peek, Read, Send
from hfgen._core.conversation import converse as conversation_of
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.tgi import TGI
from hfgen._core.headers import Headers
from hfgen._core.retry import Retry
from hfgen._core.settings import Settings
from hfgen._core.verbs import RawBytes, Run, Texts
from hfgen.testing import done, event

REQUEST = FetchRequest(
    method="POST",
    url="https://a.example/generate",
    headers=Headers(
        {
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": "Bearer hf_key",
            "content-type": "application/json",
            "cookie": "secret",
            "user-agent": "hfgen",
            "x-bill-to": "me",
        }
    ),
    body=b"{}",
    timeout=7.0,
)
OWN = {"accept", "accept-encoding", "content-type", "user-agent"}
ANSWER = b'{"generated_text": "a"}'


def response(status=200, **headers):
    return FetchResponse(
        status=status, headers={n.replace("_", "-"): v for n, v in headers.items()}
    )


def converse(accept=None, *, request=REQUEST, clock=None, **policy):
    accept = accept or accept_with(Run)
    return conversation_of(request, Retry(**policy), accept, clock or StoppedClock())


def result(conversation, reply):
    with pytest.raises(StopIteration) as stop:
        conversation.send(reply)
    return stop.value.value


def check_send(step):
    assert isinstance(step, Send)
    return step


def redirect(location, *, status=307, request=REQUEST):
    """The request that follows a redirect."""
    conversation = converse(request=request)
    next(conversation)
    answer = response(status, location=location)
    assert conversation.send(answer) == Read(answer, 1024 * 1024)
    return check_send(conversation.send(b"")).request


class TestAnswers:
    def test_a_good_answer(self):
        conversation = converse()
        assert next(conversation) == Send(REQUEST)
        answer = response(content_type="application/json")
        assert conversation.send(answer) == Read(answer, verbs.MAX_ANSWER_BYTES + 1)
        [text] = result(conversation, ANSWER)
        assert text.generated_text == "a"

    @pytest.mark.parametrize("status", [200, 201, 202, 299])
    def test_every_2xx_status(self, status):
        conversation = converse()
        next(conversation)
        conversation.send(response(status))
        assert result(conversation, ANSWER)[0].generated_text == "a"

    @pytest.mark.parametrize(
        "content_type",
        ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream;x=y"],
    )
    def test_an_event_stream_in_answer_to_run(self, content_type):
        conversation = converse()
        next(conversation)
        conversation.send(response(content_type=content_type))
        [text] = result(conversation, event(token("a")) + event(token("b", last="ab")))
        assert text.generated_text == "ab"

    def test_an_event_stream_that_breaks_off(self):
        conversation = converse(max_retries=5)
        next(conversation)
        conversation.send(response(content_type="text/event-stream"))
        with pytest.raises(hfgen.IncompleteGenerationError) as caught:
            conversation.send(event(token("a")))
        assert caught.value.text == "a"

    @pytest.mark.parametrize("content_type", ["text/plain", "", "application/octet-stream"])
    def test_any_other_type_is_read_as_json(self, content_type):
        conversation = converse()
        next(conversation)
        conversation.send(response(content_type=content_type))
        assert result(conversation, ANSWER)[0].generated_text == "a"


class TestStreams:
    def open(self, content_type, accept=None):
        conversation = converse(accept or accept_with(Texts))
        next(conversation)
        headers = {} if content_type is None else {"Content-Type": content_type}
        return conversation, FetchResponse(status=200, headers=headers)

    @pytest.mark.parametrize(
        ("content_type", "decoder"),
        [
            ("text/event-stream", EventBody),
            ("text/event-stream; charset=utf-8", EventBody),
            ("text/plain", EventBody),
            (None, EventBody),
            ("application/json", JsonBody),
            ("APPLICATION/JSON; charset=utf-8", JsonBody),
            ("application/problem+json", JsonBody),
        ],
    )
    def test_the_content_type_chooses_the_decoder(self, content_type, decoder):
        conversation, answer = self.open(content_type)
        if decoder is EventBody:
            assert conversation.send(answer) == Peek(answer)
            opened = result(conversation, event(token("a")))
        else:
            opened = result(conversation, answer)
        assert opened.response is answer
        assert type(opened.decoder) is decoder

    def test_json_without_a_json_content_type_may_begin_with_much_space(self):
        conversation, answer = self.open(None)
        conversation.send(answer)
        for piece in [b"\n", b""] * 50 + [ANSWER]:
            assert conversation.send(piece) == Peek(answer)
        assert type(result(conversation, None).decoder) is JsonBody

    def test_a_web_page_is_an_error(self):
        conversation, answer = self.open("text/html; charset=utf-8")
        assert isinstance(conversation.send(answer), Read)
        with pytest.raises(hfgen.MalformedStreamError, match="Log in"):
            conversation.send(b"<html><title>Log in</title></html>")

    @pytest.mark.parametrize("content_type", ["text/event-stream", "text/html", None])
    def test_stream_bytes_takes_any_body(self, content_type):
        conversation, answer = self.open(content_type, accept_with(RawBytes))
        if content_type == "text/event-stream":
            assert conversation.send(answer) == Peek(answer)
            opened = result(conversation, event(token("a")))
            assert list(opened.ready) == [event(token("a"))]
        else:
            opened = result(conversation, answer)
        assert opened.response is answer
        assert type(opened.decoder) is RawBody


class TestPeeking:
    """The first chunk is looked at before a stream is handed out, and handed out all the same."""

    BUSY = event({"error": "full", "error_type": "overloaded"})
    WRONG = event({"error": "no", "error_type": "validation"})

    def look(self, accept, **policy):
        conversation = converse(accept, **policy)
        next(conversation)
        answer = response(content_type="text/event-stream")
        assert conversation.send(answer) == Peek(answer)
        return conversation, answer

    def items(self, **policy):
        return self.look(accept_with(Texts), **policy)

    def raw(self, **policy):
        return self.look(accept_with(RawBytes), **policy)

    @pytest.mark.parametrize(("look", "items"), [(items, True), (raw, False)])
    def test_pieces_that_were_peeked_are_kept(self, look, items):
        conversation, answer = look(self)
        pieces = [b":\n\n", event(token("a"))[:9], event(token("a"))[9:] + event(token("b"))]
        for piece in pieces[:-1]:
            assert conversation.send(piece) == Peek(answer)
        opened = result(conversation, pieces[-1])
        assert list(opened.ready) == (["a", "b"] if items else pieces)
        assert list(opened.decoder.feed(event(token("c")))) == (
            ["c"] if items else [event(token("c"))]
        )
        assert opened.break_error is None

    @pytest.mark.parametrize("look", [items, raw])
    def test_overload_inside_a_200_is_tried_again(self, look):
        conversation, answer = look(self, max_retries=1)
        assert conversation.send(self.BUSY) == Drop(answer)
        again = check_send(conversation.send(None))
        assert isinstance(again.error, hfgen.OverloadedError)
        assert again.retries == 1

    def test_overload_is_raised_after_the_last_attempt(self):
        conversation, answer = self.items(max_retries=0)
        assert conversation.send(self.BUSY) == Drop(answer)
        with pytest.raises(hfgen.OverloadedError):
            conversation.send(None)

    @pytest.mark.parametrize("piece", [BUSY, WRONG])
    def test_bytes_are_returned_after_the_last_attempt(self, piece):
        conversation, _ = self.raw(max_retries=0)
        assert list(result(conversation, piece).ready) == [piece]

    def test_other_errors_are_raised_at_once(self):
        conversation, answer = self.items(max_retries=9)
        assert conversation.send(self.WRONG) == Drop(answer)
        with pytest.raises(hfgen.ValidationError):
            conversation.send(None)

    @pytest.mark.parametrize("look", [items, raw])
    def test_a_stream_that_ends_before_its_first_chunk_is_tried_again(self, look):
        conversation, answer = look(self)
        assert conversation.send(None) == Drop(answer)
        assert isinstance(
            check_send(conversation.send(None)).error, hfgen.IncompleteGenerationError
        )

    @pytest.mark.parametrize("look", [items, raw])
    def test_a_stream_that_breaks_before_its_first_chunk_is_tried_again(self, look):
        conversation, answer = look(self)
        conversation.send(b":\n\n")
        assert conversation.throw(ConnectError("broke")) == Drop(answer)
        assert check_send(conversation.send(None)).retries == 1

    def test_bytes_of_a_body_that_broke_end_in_the_error(self):
        conversation, _ = self.raw(max_retries=0)
        conversation.send(b":\n\n")
        broke = ConnectError("broke")
        with pytest.raises(StopIteration) as stop:
            conversation.throw(broke)
        assert list(stop.value.value.ready) == [b":\n\n"]
        assert stop.value.value.break_error is broke

    @pytest.mark.parametrize(("look", "items"), [(items, True), (raw, False)])
    def test_an_end_without_blank_line(self, look, items):
        conversation, _ = look(self)
        piece = event(token("a", last="a"))[:-2]
        conversation.send(piece)
        opened = result(conversation, None)
        assert list(opened.ready) == (["a"] if items else [piece])
        # `finish` is called although `accept` has seen the end already.
        assert list(opened.decoder.finish()) == []

    @pytest.mark.parametrize("noise", [b":\n", b": keepalive\n\n", b"event: ping\ndata: 1\n\n"])
    def test_what_comes_before_the_first_token_counts_however_it_is_cut(self, noise):
        first, last = event({"token": {"text": "a"}}), event(token("b", last="ab"))
        accept = partial(Texts({}, Settings(max_event_bytes=150)).accept, TGI())

        def read(pieces):
            conversation, answer = self.look(accept, max_retries=0)
            pieces = iter([*pieces, None])
            try:
                while conversation.send(next(pieces)) == Peek(answer):
                    pass
                conversation.send(None)
            except StopIteration as stop:
                decoder, rest = stop.value.decoder, [piece for piece in pieces if piece]
                ready = list(stop.value.ready)
                return [*ready, *(text for piece in rest for text in decoder.feed(piece))]
            except hfgen.MalformedStreamError as error:
                return error.message.partition(":")[0]

        for size in (250, 265, 267, 268, 269, 270, 300, 500):
            before = (noise * size)[: size - len(noise)] + b"\n" * len(noise)
            assert len(before) == size
            fits = len(before + first) <= 300
            problem = "300 bytes have come, and no token among them (max_event_bytes)"
            found = same_every_way(before + first + last, read)
            assert found == (["a", "b"] if fits else problem)

    def test_an_end_without_token(self):
        conversation, _ = self.look(accept_with(Texts, Completions({})))
        opened = result(conversation, done())
        assert list(opened.ready) == [""]
        assert opened.decoder.is_complete
        assert list(opened.decoder.finish()) == []

    def test_a_chunk_without_text_is_kept(self):
        # The stream has begun with it, though `stream_tokens` skips it: no attempt follows.
        conversation, _ = self.items()
        special = {"token": {"text": "<s>", "special": True}}
        opened = result(conversation, event(special))
        assert list(opened.ready) == []
        assert opened.decoder.text == ""


class TestRetries:
    @pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
    def test_transient_statuses(self, status):
        conversation = converse(max_retries=2)
        assert next(conversation) == Send(REQUEST)
        for bound in (0.5, 1.0):
            answer = response(status)
            assert conversation.send(answer) == Read(answer, 1024 * 1024)
            again = check_send(conversation.send(b'{"error": "busy"}'))
            assert again.request == REQUEST
            assert 0 <= again.wait <= bound
            assert again.error.status == status
        conversation.send(response(status))
        with pytest.raises(hfgen.StatusError, match="busy") as caught:
            conversation.send(b'{"error": "busy"}')
        assert caught.value.status == status

    @pytest.mark.parametrize(
        "status", [300, 301, 302, 303, 304, 400, 401, 402, 403, 404, 405, 410, 413, 422, 424,
                   500, 501, 505]
    )  # fmt: skip
    def test_lasting_statuses(self, status):
        conversation = converse(max_retries=9)
        next(conversation)
        conversation.send(response(status))
        with pytest.raises(hfgen.StatusError) as caught:
            conversation.send(b"")
        assert caught.value.status == status

    @pytest.mark.parametrize(
        "error", [ConnectError("refused"), ServerTooSlow("slow", phase="connect")]
    )
    def test_no_connection(self, error):
        conversation = converse(max_retries=1)
        next(conversation)
        again = check_send(conversation.throw(error))
        assert again.error is error
        assert again.request == REQUEST
        with pytest.raises(type(error)) as caught:
            conversation.throw(error)
        assert caught.value is error

    @pytest.mark.parametrize(
        "error",
        [
            ServerTooSlow("slow", phase="read"),
            hfgen.AbortError("enough"),
            ValueError("a fetch's own"),
            RuntimeError("a fetch's own"),
        ],
    )
    def test_lasting_errors(self, error):
        conversation = converse(max_retries=9)
        next(conversation)
        with pytest.raises(type(error)) as caught:
            conversation.throw(error)
        assert caught.value is error

    def test_without_retries_the_first_error_is_the_last(self):
        conversation = converse(max_retries=0)
        next(conversation)
        with pytest.raises(ConnectError):
            conversation.throw(ConnectError("refused"))

    def test_an_answer_after_a_failure(self):
        conversation = converse()
        next(conversation)
        conversation.throw(ConnectError("refused"))
        conversation.send(response())
        assert result(conversation, ANSWER)[0].generated_text == "a"

    def test_the_server_says_how_long_to_wait(self):
        conversation = converse()
        next(conversation)
        conversation.send(response(429, retry_after="7"))
        assert check_send(conversation.send(b"")).wait == 7.0

    def test_a_requested_wait_above_max_wait_is_an_error(self):
        conversation = converse()
        next(conversation)
        conversation.send(response(429, retry_after="3600"))
        with pytest.raises(hfgen.RateLimitError, match="3600 s") as caught:
            conversation.send(b"")
        assert caught.value.retry_after == 3600

    def test_a_body_that_broke_is_asked_for_again(self):
        """Nothing of it has been handed out."""
        conversation = converse(max_retries=9)
        next(conversation)
        conversation.send(response())
        assert check_send(conversation.throw(ConnectError("it broke"))).request == REQUEST

    def test_loading_is_waited_for_without_counting(self):
        clock = StoppedClock()
        conversation = converse(max_retries=0, wait_for_model=60.0, clock=clock)
        next(conversation)
        for attempt in range(1, 9):
            conversation.send(response(503))
            again = check_send(conversation.send(b'{"error": "loading", "estimated_time": 2.0}'))
            assert (again.retries, again.wait) == (attempt, 2.0)
        clock.seconds = 61.0
        conversation.send(response(503))
        with pytest.raises(hfgen.ModelLoadingError):
            conversation.send(b'{"error": "loading", "estimated_time": 2.0}')

    @pytest.mark.parametrize("status", [502, 503])
    def test_a_waking_endpoint_is_a_model_that_loads(self, status):
        request = replace(REQUEST, url="https://x.y.endpoints.huggingface.cloud/")
        conversation = converse(max_retries=0, request=request)
        next(conversation)
        conversation.send(response(status))
        with pytest.raises(hfgen.ModelLoadingError, match="waking") as caught:
            conversation.send(b"")
        assert caught.value.status == status

    def test_an_error_after_tokens_is_not_asked_for_again(self):
        conversation = converse(max_retries=9)
        next(conversation)
        conversation.send(response(content_type="text/event-stream"))
        with pytest.raises(hfgen.OverloadedError):
            conversation.send(
                event(token("a")) + event({"error": "full", "error_type": "overloaded"})
            )


class TestRefusals:
    def refusal(self, status, body=b"", request=REQUEST, **headers):
        conversation = converse(max_retries=0, request=request)
        next(conversation)
        conversation.send(response(status, **headers))
        with pytest.raises(hfgen.StatusError) as caught:
            conversation.send(body)
        return caught.value

    def test_the_error_has_the_fields_of_the_answer(self):
        error = self.refusal(
            422, b'{"error": "no", "error_type": "validation"}', x_request_id="r", set_cookie="c"
        )
        assert isinstance(error, hfgen.ValidationError)
        assert error.headers["X-Request-ID"] == "r"
        assert error.request_id == "r"
        assert error.body == b'{"error": "no", "error_type": "validation"}'

    @pytest.mark.parametrize(
        "error", [ConnectError("broke"), ServerTooSlow("slow")], ids=["broke", "slow"]
    )
    def test_an_error_body_that_breaks_leaves_its_status(self, error):
        conversation = converse()
        next(conversation)
        conversation.send(response(404))
        with pytest.raises(hfgen.NotFoundError, match="404"):
            conversation.throw(error)

    def test_an_abort_while_reading_an_error_is_an_abort(self):
        conversation = converse()
        next(conversation)
        conversation.send(response(503))
        with pytest.raises(hfgen.AbortError):
            conversation.throw(hfgen.AbortError("enough"))

    def test_401_without_a_key_says_how_to_pass_one(self):
        keyless = replace(REQUEST, headers=Headers({}))
        assert "HF_TOKEN" in str(self.refusal(401, request=keyless))
        assert "HF_TOKEN" not in str(self.refusal(401))
        assert "hf_key" not in repr(self.refusal(401))

    @pytest.mark.parametrize("status", [404, 405, 410])
    def test_a_404_names_the_url(self, status):
        url = "https://a.example/generate?key=secret"
        error = self.refusal(status, request=replace(REQUEST, url=url))
        assert "https://a.example/generate" in str(error)
        assert "secret" not in str(error)

    def test_message_and_args_agree(self):
        error = self.refusal(404, b'{"error": "no model"}')
        assert str(error) == error.message == error.args[0]

    @pytest.mark.parametrize("status", [301, 302, 303])
    def test_redirects_that_would_lose_the_body_are_not_followed(self, status):
        error = self.refusal(status, location="https://b.example/")
        assert "https://b.example/" in str(error)
        assert error.status == status

    def test_a_redirect_without_location(self):
        assert self.refusal(307).status == 307


class TestRedirects:
    @pytest.mark.parametrize("status", [307, 308])
    @pytest.mark.parametrize(
        ("location", "url"),
        [
            ("/other", "https://a.example/other"),
            ("other?x=1", "https://a.example/other?x=1"),
            ("https://a.example/other", "https://a.example/other"),
            ("https://a.example:443/other", "https://a.example:443/other"),
            ("https://A.EXAMPLE/other", "https://A.EXAMPLE/other"),
            ("//a.example/other", "https://a.example/other"),
        ],
    )
    def test_to_the_same_origin_keeps_everything(self, status, location, url):
        assert redirect(location, status=status) == replace(REQUEST, url=url)

    @pytest.mark.parametrize(
        "location",
        [
            "https://b.example/generate",
            "https://a.example.b.example/generate",
            "https://sub.a.example/generate",
            "https://example/generate",
            "https://a.example:8443/generate",
            "https://a.example.:443/generate",
            "http://a.example/generate",
            "http://a.example:443/generate",
            "//b.example/generate",
            "https://b.example\\.a.example/",
        ],
    )
    def test_to_another_host_takes_no_credentials_and_no_headers_of_the_caller(self, location):
        try:
            request = redirect(location)
        except hfgen.HfgenError:
            return  # refusing is fine, too
        assert set(request.headers) == OWN
        assert request.body == REQUEST.body
        assert request.method == "POST"
        assert request.timeout == 7.0

    def test_from_http_to_https_on_the_same_host_keeps_the_headers(self):
        request = replace(REQUEST, url="http://a.example/x")
        assert redirect("https://a.example/x", request=request).headers == REQUEST.headers

    def test_headers_do_not_come_back_with_a_second_redirect(self):
        conversation = converse()
        next(conversation)
        conversation.send(response(307, location="https://b.example/"))
        assert "authorization" not in check_send(conversation.send(b"")).request.headers
        conversation.send(response(307, location=REQUEST.url))
        assert set(check_send(conversation.send(b"")).request.headers) == OWN

    def test_every_header_of_the_caller_is_dropped(self):
        request = replace(REQUEST, headers={"Authorization": "Bearer hf_key", "X-API-Key": "k"})
        assert not redirect("https://b.example/", request=request).headers

    def test_a_retry_starts_at_the_url_of_the_caller(self):
        conversation = converse()
        next(conversation)
        conversation.send(response(307, location="https://b.example/"))
        conversation.send(b"")
        conversation.send(response(503))
        assert check_send(conversation.send(b"")).request == REQUEST

    def test_too_many_redirects(self):
        conversation = converse()
        next(conversation)

        def follow():
            for _ in range(50):
                conversation.send(response(307, location="/again"))
                check_send(conversation.send(b""))

        with pytest.raises(hfgen.StatusError, match="redirects more than"):
            follow()

    def test_a_redirect_whose_body_breaks_is_followed(self):
        conversation = converse(max_retries=0)
        next(conversation)
        conversation.send(response(307, location="/other"))
        assert conversation.throw(ConnectError("broke")).request.url == "https://a.example/other"

    @pytest.mark.parametrize(
        "location",
        [
            "ftp://a.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://[",
            "https://user:hf_secret@b.example/",
            "https://b.example:port/",
            "https://a.example/\x00",
        ],
    )
    def test_an_invalid_location_is_an_error_of_the_server(self, location):
        conversation = converse(max_retries=0)
        next(conversation)
        conversation.send(response(307, location=location))
        with pytest.raises(hfgen.HfgenError) as caught:
            conversation.send(b"")
        assert "hf_secret" not in str(caught.value)
        # `InvalidRequestError` means that nothing has been sent, and here a request has been.
        assert not isinstance(caught.value, hfgen.InvalidRequestError)


def test_a_json_error_under_200():
    conversation = converse(max_retries=0)
    next(conversation)
    conversation.send(response(content_type="application/json", x_request_id="r7"))
    with pytest.raises(hfgen.OverloadedError) as caught:
        conversation.send(json.dumps({"error": "full", "error_type": "overloaded"}).encode())
    # The error has the headers of the answer under a status of 200, too.
    assert caught.value.request_id == "r7"


@pytest.mark.parametrize("parameters", [{"num_return_sequences": 2}, {"n": 2}])
def test_the_texts_of_several_sequences_would_be_mixed(parameters):
    with pytest.raises(hfgen.InvalidRequestError, match="stream_tokens gives one text"):
        Texts({"inputs": "x", "parameters": parameters}, Settings())
