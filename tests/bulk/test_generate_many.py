"""`generate_many` on both sides, with servers on real sockets."""

import asyncio
import errno
import itertools
import os
import socket
import threading
import time
from collections import Counter

import pytest

import hfgen
from helpers.sync_and_async import Async, LeaveStream, reply
from hfgen import RateLimit, Retry
from hfgen.testing import (
    Cut,
    Hang,
    Pause,
    as_json,
    done,
    events,
    generated,
    loading,
    overloaded,
    status,
    tokens,
)

STORY = tokens("a", "b", details=True)
QUICK = Retry(backoff=0.01)


def echo(request):
    """Answer with the prompt."""
    return tokens(request.json["inputs"], details=True)


def rows(count):
    return [f"row {index}" for index in range(count)]


def start_many(side, server, input_rows, **options):
    client = side.client(api_url=f"{server.url}/generate", retry=QUICK)
    return client.generate_many(input_rows, **options)


def collect_results(side, server, input_rows, **options):
    """Return all results, in the order of their rows."""
    return sorted(
        side.collect(start_many(side, server, input_rows, **options)), key=lambda r: r.index
    )


class TestRows:
    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("concurrency", [1, 7, (1, 64)])
    def test_each_has_one_result(self, side, serve, concurrency, stream):
        input_rows = rows(50)

        def answer(request):
            text = request.json["inputs"].upper()
            return tokens(text) if request.json["stream"] else generated(text)

        results = collect_results(
            side, serve(answer), input_rows, concurrency=concurrency, stream=stream
        )
        assert [result.index for result in results] == list(range(50))
        assert [result.row for result in results] == input_rows
        assert [result.generated_text for result in results] == [row.upper() for row in input_rows]
        assert all(result.ok and result.attempts == 1 for result in results)
        assert all((result.time_to_first_token is not None) is stream for result in results)
        assert all(result.latency >= (result.time_to_first_token or 0) for result in results)

    def test_in_order_if_asked(self, side, serve):
        def answer(request):
            number = int(request.json["inputs"].removeprefix("row "))
            return tokens("a", Pause(0.05 if number % 5 == 0 else 0.0), "b")

        results = side.collect(
            start_many(side, serve(answer), rows(40), ordered=True, concurrency=10)
        )
        assert [result.index for result in results] == list(range(40))

    def test_none_at_all(self, side, serve):
        assert side.collect(start_many(side, serve(STORY), [])) == []

    def test_may_be_anything_that_a_function_makes_a_request_of(self, side, serve):
        server = serve(echo)
        input_rows = [{"text": "one"}, {"text": "two"}]
        results = collect_results(
            side,
            server,
            iter(input_rows),
            request=lambda row: {"inputs": f"Translate: {row['text']}"},
        )
        assert [result.generated_text for result in results] == ["Translate: one", "Translate: two"]
        assert [result.row for result in results] == input_rows

    def test_may_have_a_model_of_their_own(self, side, serve):
        server = serve(echo)
        input_rows = ["one", {"inputs": "two", "model": "own/model"}]
        assert all(
            result.ok for result in collect_results(side, server, input_rows, model="all/others")
        )
        asked = {request.json["inputs"]: request.json["model"] for request in server.requests}
        assert asked == {"one": "all/others", "two": "own/model"}
        with pytest.raises(hfgen.InvalidRequestError, match=r"request\.model: expected `str`"):
            start_many(side, server, input_rows, model=7)

    @pytest.mark.parametrize(
        ("kind", "method", "call"),
        [
            ("DataFrame", "itertuples", 'to_dict("records")'),
            ("DataFrame", "to_dicts", "to_dicts()"),
            ("Table", "to_pylist", "to_pylist()"),
        ],
    )
    def test_of_a_frame_are_refused_because_it_iterates_over_columns(
        self, side, serve, kind, method, call
    ):
        frame = type(kind, (list,), {method: lambda _: []})(["inputs"])
        with pytest.raises(hfgen.InvalidRequestError, match=f"{kind} does not") as caught:
            start_many(side, serve(echo), frame)
        assert f"rows.{call}" in caught.value.message

    def test_that_make_no_request_have_an_error(self, side, serve):
        server = serve(echo)
        input_rows = [{"text": "one"}, {"other": "two"}, {"text": 3}]
        first, second, third = collect_results(
            side, server, input_rows, request=lambda row: row["text"]
        )
        assert first.ok
        for result in (second, third):
            assert isinstance(result.error, hfgen.InvalidRequestError)
            assert (result.attempts, result.server, result.answers) == (0, "", [])
        assert "KeyError" in str(second.error)
        assert isinstance(second.error.__cause__, KeyError)

    @pytest.mark.parametrize("options", [{"api_url": "http://x"}, {"provider": "hf-inference"}])
    def test_with_a_model_that_is_no_unicode_have_an_error(self, side, options):
        def answer(_):
            return reply(b'[{"generated_text": "a"}]')

        client = side.client(fetch=side.fetch(answer), retry=QUICK, api_key="hf_k", **options)
        input_rows = [{"inputs": "x", "model": "a/\ud800"}, {"inputs": "x", "model": "a/b"}]
        results = side.collect(client.generate_many(input_rows, stream=False, ordered=True))
        assert "model" in str(results[0].error)
        assert isinstance(results[0].error, hfgen.InvalidRequestError)
        assert results[1].attempts >= 1
        with pytest.raises(hfgen.InvalidRequestError, match="model"):
            client.generate_many(["x"], model="a/\ud800")

    def test_that_the_server_refuses_have_an_error(self, side, serve):
        def answer(request):
            bad = {"error": "inputs too long", "error_type": "validation"}
            return as_json(bad, status=422) if "2" in request.json["inputs"] else STORY

        results = collect_results(side, serve(answer), rows(5))
        assert [result.ok for result in results] == [True, True, False, True, True]
        assert isinstance(results[2].error, hfgen.ValidationError)
        assert results[2].attempts == 1


class TestAnswers:
    def test_have_a_finish_reason_and_counts_of_tokens(self, side, serve):
        server = serve(STORY)
        (result,) = collect_results(side, server, ["x"])
        assert (result.finish_reason, result.generated_tokens) == ("length", 2)
        assert result.input_length == 1
        assert result.server == f"{server.url}/generate"
        assert server.request().json["parameters"]["details"] is True
        assert result.answers[0].details.tokens == []

    @pytest.mark.parametrize(("speaks", "has_details"), [("tgi", True), (None, False)])
    def test_are_counted_only_if_the_server_is_known_to_do_that(
        self, side, serve, speaks, has_details
    ):
        # Not only TGI speaks its dialect: the Inference Toolkit refuses `details`.
        def respond(request):
            return STORY if request.method == "POST" else status(404)

        server = serve(respond, speaks=speaks)
        client = side.client(api_url=f"{server.url}/any", dialect="tgi")
        (result,) = side.collect(client.generate_many(["x"]))
        assert result.error is None
        assert ("details" in server.requests[-1].json["parameters"]) is has_details

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("whole", [True, False])
    def test_that_are_fewer_than_asked_for_are_an_error(self, side, serve, stream, whole):
        def respond(request):
            if request.method == "GET":
                return status(404)
            return as_json([{"generated_text": "a"}]) if whole else tokens("a", "b")

        server = serve(respond, speaks=None)
        client = side.client(api_url=f"{server.url}/any", dialect="tgi", retry=QUICK)
        row = {"inputs": "x", "parameters": {"num_return_sequences": 2}}
        (result,) = side.collect(client.generate_many([row], stream=stream))
        assert "1 of 2 texts" in result.error.message
        assert result.answers == []

    def test_have_no_details_if_the_row_forbids_them(self, side, serve):
        server = serve(tokens("a"))
        collect_results(
            side, server, [{"inputs": "x", "parameters": {"details": False, "seed": 1}}]
        )
        sent = server.request().json["parameters"]
        assert sent == {"details": False, "seed": 1, "do_sample": False}

    @pytest.mark.parametrize("stream", [True, False])
    def test_have_their_tokens_if_a_row_asks(self, side, serve, stream):
        row = {"inputs": "x", "parameters": {"details": True}}
        token = {"id": 1, "text": "a", "logprob": -1.0, "special": False}
        whole = {"finish_reason": "length", "generated_tokens": 1, "tokens": [token], "prefill": []}
        server = serve(tokens("a", details=True) if stream else generated("a", details=whole))
        (result,) = collect_results(side, server, [row], stream=stream)
        assert [token.text for token in result.answers[0].details.tokens] == ["a"]
        (other,) = collect_results(side, server, ["x"], stream=stream)
        assert other.answers[0].details.tokens == []
        assert other.generated_tokens == 1

    def test_of_other_servers(self, side, serve):
        payload = {
            "choices": [{"index": 0, "text": "a", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        }
        server = serve(as_json(payload), speaks="vllm")
        client = side.client(api_url=server.url)
        (result,) = side.collect(client.generate_many(["x"]))
        assert (result.generated_text, result.generated_tokens, result.input_length) == ("a", 2, 3)
        assert "logprobs" not in server.request().json

    @pytest.mark.parametrize("name", ["best_of", "decoder_input_details"])
    def test_that_cannot_be_streamed_are_not_streamed(self, side, serve, name):
        server = serve(generated("a"))
        row = {"inputs": "x", "parameters": {name: 2 if name == "best_of" else True}}
        (result,) = collect_results(side, server, [row])
        assert result.ok
        assert server.request().json["stream"] is False

    def test_of_a_model_that_cannot_stream_come_without_a_stream(self, side, serve):
        refusal = {"error": ["`stream` is not supported for this model"]}

        def answer(request):
            return as_json(refusal, status=400) if request.json["stream"] else generated("a")

        results = collect_results(side, serve(answer), rows(3), max_retries=0)
        assert [(result.generated_text, result.attempts) for result in results] == [("a", 2)] * 3


class TestTryingAgain:
    @pytest.mark.parametrize(
        "failure",
        [status(500), status(502), status(424), tokens("a", Cut()), tokens("a", Cut(reset=True)),
         tokens("a", ends=False), as_json({"nonsense": 1})],
    )  # fmt: skip
    def test_what_may_succeed(self, side, serve, failure):
        server = serve(failure, STORY)
        (result,) = collect_results(side, server, ["x"])
        assert result.generated_text == "ab"
        assert result.attempts == 2

    def test_ends_after_max_retries(self, side, serve):
        (result,) = collect_results(side, serve(tokens("a", Cut())), ["x"], max_retries=3)
        assert isinstance(result.error, hfgen.IncompleteGenerationError)
        assert result.error.text == "a"
        assert result.attempts == 4
        assert result.generated_text is None

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("reason", ["abort", "cancelled", "error"])
    def test_a_generation_that_the_server_broke_off(self, side, serve, reason, stream):
        def give(text, finish_reason):
            details = {"finish_reason": finish_reason, "generated_tokens": 1}
            return tokens(text, details=details) if stream else generated(text, details=details)

        server = serve(give("a", reason), give("ab", "length"))
        (result,) = collect_results(side, server, ["x"], stream=stream)
        assert (result.generated_text, result.attempts) == ("ab", 2)
        (result,) = collect_results(
            side, serve(give("a", reason)), ["x"], stream=stream, max_retries=1
        )
        assert isinstance(result.error, hfgen.IncompleteGenerationError)
        assert (result.error.text, result.attempts) == ("a", 2)

    @pytest.mark.parametrize("stream", [True, False])
    def test_an_error_beside_a_text(self, side, serve, stream):
        def give(text, **more):
            answer = {"choices": [{"index": 0, "text": text, "finish_reason": "stop", **more}]}
            return events(answer, done()) if stream else as_json(answer)

        server = serve(give("a", error={"code": 502, "message": "gone"}), give("ab"))
        client = side.client(api_url=server.url, dialect="completions", retry=QUICK)
        request = {"inputs": "x", "model": "m", "parameters": {"max_new_tokens": 2}}
        (result,) = side.collect(client.generate_many([request], stream=stream))
        assert (result.generated_text, result.attempts) == ("ab", 2)

    @pytest.mark.parametrize("stream", [True, False])
    def test_not_a_text_that_a_policy_cut(self, side, serve, stream):
        details = {"finish_reason": "content_filter", "generated_tokens": 1}
        answer = tokens("a", details=details) if stream else generated("a", details=details)
        (result,) = collect_results(side, serve(answer), ["x"], stream=stream)
        assert isinstance(result.error, hfgen.ContentFilterError)
        assert (result.error.text, result.attempts, result.ok) == ("a", 1, False)

    def test_what_takes_too_long(self, side, serve):
        server = serve(tokens("a", Hang()), STORY)
        (result,) = collect_results(side, server, ["x"], timeout=0.3)
        assert (result.ok, result.attempts) == (True, 2)
        assert server.request().hung_up.wait(10)

    @pytest.mark.parametrize("in_band", [True, False])
    def test_what_an_overloaded_server_refuses(self, side, serve, in_band):
        server = serve(*[overloaded(in_band=in_band)] * 3, STORY)
        results = collect_results(side, server, rows(2), max_retries=0)
        assert [result.ok for result in results] == [True, True]

    def test_what_is_always_refused_ends_with_an_error(self, side, serve):
        server = serve(lambda r: overloaded() if r.json["inputs"] == "row 0" else STORY)
        results = collect_results(side, server, rows(20), patience=0.05)
        assert [result.ok for result in results] == [False] + [True] * 19
        assert isinstance(results[0].error, hfgen.OverloadedError)
        assert results[0].attempts > 1

    def test_waits_for_retry_after(self, side, serve):
        server = serve(overloaded(retry_after=0.4), STORY)
        results = collect_results(side, server, rows(2), max_retries=0)
        assert [result.ok for result in results] == [True, True]
        first, second = server.request(0), server.request(1)
        assert second.received_at - first.received_at >= 0.4

    def test_when_the_model_is_loaded(self, side, serve):
        server = serve(loading(0.1), STORY)
        (result,) = collect_results(side, server, ["x"], max_retries=0, wait_for_model=60)
        assert (result.ok, result.attempts) == (True, 2)

    def test_is_reported_to_on_retry(self, side, serve):
        retries = []
        collect_results(
            side,
            serve(status(500), status(424), STORY),
            ["x"],
            on_retry=lambda attempt, wait, error: retries.append(
                (attempt, wait >= 0, error.status)
            ),
        )
        assert retries == [(1, True, 500), (2, True, 424)]


class TestServers:
    def test_share_the_rows(self, side, serve):
        servers = serve(echo), serve(echo)
        client = side.client()
        urls = [f"{server.url}/generate" for server in servers]
        results = side.collect(client.generate_many(rows(40), api_urls=urls, concurrency=4))
        assert {result.server for result in results} == set(urls)
        assert sum(len(server.requests) for server in servers) == 40
        assert min(len(server.requests) for server in servers) >= 5

    def test_that_are_not_there_cost_no_row(self, side, serve):
        server = serve(echo)
        urls = ["http://127.0.0.1:9/generate", f"{server.url}/generate"]
        client = side.client(retry=QUICK)
        results = side.collect(
            client.generate_many(rows(40), api_urls=urls, concurrency=4, max_retries=0)
        )
        assert [result.ok for result in results] == [True] * 40

    @pytest.mark.parametrize(
        "code", [errno.EMFILE, errno.EADDRNOTAVAIL, errno.ETIMEDOUT, errno.ECONNRESET, errno.EACCES]
    )
    def test_to_which_no_connection_can_be_made_cost_no_attempt(
        self, side, serve, code, monkeypatch
    ):
        """Whatever the reason: here, the system refuses every second connection."""
        connects, is_refused = itertools.count(), threading.Event()
        connect, sock_connect = socket.socket.connect, asyncio.SelectorEventLoop.sock_connect

        def refuse_each_second():
            if next(connects) % 2:
                is_refused.set()
                raise OSError(code, os.strerror(code))

        def answer(request):
            # The first connection is kept busy, so that another one is needed.
            assert is_refused.wait(30)
            return echo(request)

        def connect_or_fail(self, address):
            refuse_each_second()
            return connect(self, address)

        async def sock_connect_or_fail(self, sock, address):
            refuse_each_second()
            return await sock_connect(self, sock, address)

        server = serve(answer)
        if side.name == "sync":
            monkeypatch.setattr(socket.socket, "connect", connect_or_fail)
        else:
            monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", sock_connect_or_fail)
        bulk = start_many(side, server, rows(20), concurrency=8, max_retries=0)
        results = side.collect(bulk)
        assert [result.ok for result in results] == [True] * 20
        refusals = next(connects) // 2
        assert bulk.statistics.retries >= refusals > 0
        assert (bulk.statistics.overloads > 0) is (code == errno.EMFILE)

    def test_that_die_cost_no_row(self, side, serve):
        dying, living = serve(echo), serve(echo)
        urls = [f"{dying.url}/generate", f"{living.url}/generate"]
        client = side.client(retry=QUICK)
        bulk = client.generate_many(rows(100), api_urls=urls, concurrency=4)
        results = [side.next(bulk) for _ in range(20)]
        dying.close()
        results += side.collect(bulk)
        assert sorted(result.index for result in results) == list(range(100))
        assert [result.ok for result in results] == [True] * 100

    @pytest.mark.parametrize("model", [None, "owner/name"])
    @pytest.mark.parametrize("code", [401, 403, 404])
    def test_that_refuse_all_requests_end_the_run(self, side, serve, code, model):
        server = serve(status(code))
        bulk = start_many(side, server, rows(1000), concurrency=3, model=model)
        with pytest.raises(hfgen.StatusError) as caught:
            side.collect(bulk)
        assert caught.value.status == code
        assert len(server.requests) <= 4

    def test_get_no_more_at_once_than_asked_for(self, side, serve):
        server = serve(tokens("a", Pause(0.01), "b"))
        collect_results(side, server, rows(30), concurrency=3)
        assert server.connections <= 3

    def test_get_no_more_a_minute_than_asked_for(self, side, serve):
        server = serve(STORY)
        began = time.monotonic()
        collect_results(side, server, rows(5), rate_limit=RateLimit(requests_per_minute=600))
        assert time.monotonic() - began >= 0.4


class TestEnds:
    def test_with_what_the_input_raises_after_the_input_rowsbefore(self, side, serve):
        def yield_rows():
            yield from rows(3)
            raise LookupError("no more")

        results = []
        with pytest.raises(LookupError, match="no more"):
            side.collect(start_many(side, serve(STORY), yield_rows()), results)
        assert len(results) == 3

    def test_with_what_a_fetch_raises_that_is_no_error_of_a_server(self, side):
        def answer(_):
            raise ZeroDivisionError

        client = side.client(fetch=side.fetch(answer), api_url="http://x/generate")
        with pytest.raises(ZeroDivisionError):
            side.collect(client.generate_many(rows(3)))

    def test_with_what_on_retry_raises(self, side, serve):
        def on_retry(*_):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            side.collect(start_many(side, serve(status(500)), rows(3), on_retry=on_retry))

    @pytest.mark.parametrize("kind", [SystemExit, pytest.fail.Exception, KeyboardInterrupt])
    @pytest.mark.parametrize("place", ["fetch", "on_retry", "request", "rows"])
    def test_with_what_no_except_exception_catches(self, side, place, kind):
        """Raised late, while answers come: not in the first call of `next`."""
        calls = Counter()

        def visit(visited):
            calls[visited] += 1
            if visited == place and calls[visited] > 3:
                raise kind("stop")

        def yield_rows():
            for number in range(100):
                visit("rows")
                yield f"row {number}"

        def make_request(row):
            visit("request")
            return row

        def answer(_):
            visit("fetch")
            is_broken = place == "on_retry"
            return reply(b'{"generated_text": "a"}', status=500 if is_broken else 200)

        client = side.client(fetch=side.fetch(answer), api_url="http://x/generate", retry=QUICK)
        bulk = client.generate_many(
            yield_rows(),
            request=make_request,
            stream=False,
            on_retry=lambda *_: visit("on_retry"),
            concurrency=1,
        )
        with pytest.raises(kind, match="stop"):
            side.collect(bulk)
        with pytest.raises(hfgen.StreamClosedError):
            side.next(bulk)

    def test_with_what_an_async_input_raises(self, serve):
        side = Async()

        async def yield_rows():
            yield "row"
            pytest.fail("stop")

        try:
            with pytest.raises(pytest.fail.Exception, match="stop"):
                side.collect(start_many(side, serve(STORY), yield_rows()))
        finally:
            side.finish()

    def test_with_an_abort(self, side, serve):
        server = serve(tokens("a", Hang()))
        controller = hfgen.AbortController()
        bulk = start_many(side, server, rows(5), concurrency=3, signal=controller.signal)
        timer = threading.Timer(0.3, controller.abort, ["enough"])
        timer.start()
        with pytest.raises(hfgen.AbortError, match="enough"):
            side.collect(bulk)
        side.close_client(side._clients[0])
        assert server.wait_until_left()

    def test_at_once_if_it_was_aborted_before(self, side, serve):
        server = serve(STORY)
        controller = hfgen.AbortController()
        controller.abort()
        with pytest.raises(hfgen.AbortError):
            side.collect(start_many(side, server, rows(5), signal=controller.signal))
        assert server.requests == []

    def test_when_the_client_is_closed(self, side, serve):
        client = side.client(api_url=serve(STORY).url)
        side.close_client(client)
        with pytest.raises(hfgen.HfgenError, match="closed"):
            side.collect(client.generate_many(rows(3)))

    def test_once(self, side, serve):
        bulk = start_many(side, serve(STORY), rows(2))
        assert len(side.collect(bulk)) == 2
        assert side.collect(bulk) == []
        with pytest.raises(StopIteration):
            side.next(bulk)


class TestLeaving:
    @pytest.mark.parametrize("way", ["break", "exception", "context", "close"])
    def test_cancels_what_is_under_way(self, side, serve, way):
        def answer(request):
            return STORY if request.json["inputs"] == "row 0" else tokens("a", Hang())

        server = serve(answer)
        bulk = start_many(side, server, map("row {}".format, itertools.count()), concurrency=4)
        if way == "break":
            assert len(side.leave_by_break(bulk, 1)) == 1
        elif way == "exception":
            with pytest.raises(LeaveStream):
                side.leave_by_exception(bulk)
        elif way == "context":
            side.leave_by_context(bulk)
        else:
            side.next(bulk)
            side.close(bulk)
        side.close_client(side._clients[0])
        assert server.wait_until_left()
        assert len(server.requests) <= 5
        with pytest.raises(hfgen.StreamClosedError):
            side.next(bulk)

    def test_when_all_input_rowsare_done_hides_the_rest(self, side, serve):
        bulk = start_many(side, serve(STORY), rows(3), concurrency=3)
        side.next(bulk)
        while bulk.statistics.done < 3:
            side.sleep(0.01)
        side.close(bulk)
        with pytest.raises(hfgen.StreamClosedError):
            side.next(bulk)
        with pytest.raises(hfgen.StreamClosedError):
            side.next(bulk)

    def test_before_it_has_begun(self, side, serve):
        server = serve(STORY)
        bulk = start_many(side, server, rows(3))
        side.close(bulk)
        side.close(bulk)
        with pytest.raises(hfgen.StreamClosedError):
            side.next(bulk)
        assert server.requests == []

    def test_draining_hands_out_what_is_under_way(self, side, serve):
        server = serve(tokens("a", Pause(0.05), "b"))
        bulk = start_many(side, server, map("row {}".format, itertools.count()), concurrency=4)
        first = side.next(bulk)
        bulk.drain()
        rest = side.collect(bulk)
        assert all(result.ok for result in [first, *rest])
        assert len(rest) + 1 == len(server.requests) <= 8


class TestBackpressure:
    def test_no_row_is_taken_while_results_wait(self, side, serve):
        server = serve(STORY)
        taken = []

        def yield_rows():
            for number in itertools.count():
                taken.append(number)
                yield f"row {number}"

        bulk = start_many(side, server, yield_rows(), concurrency=2)
        side.next(bulk)
        side.sleep(0.5)
        held = len(taken)
        assert held <= 11
        side.sleep(0.2)
        assert len(taken) == held
        for _ in range(20):
            side.next(bulk)
        assert held < len(taken) <= 31
        side.close(bulk)

    def test_statistics_are_live(self, side, serve):
        bulk = start_many(side, serve(STORY), rows(5), concurrency=2)
        shown = bulk.statistics
        assert (shown.taken, shown.done) == (0, 0)
        side.next(bulk)
        assert shown.taken >= shown.done >= 1
        side.collect(bulk)
        assert (shown.taken, shown.succeeded, shown.in_flight, shown.waiting) == (5, 5, 0, 0)
        assert shown.generated_tokens == 10
        assert shown.servers[0].answered == 5


def test_with_a_fetch(side):
    started = time.monotonic()
    client = side.client(
        api_url="http://x/generate", fetch=side.fetch(lambda _: reply(b'{"generated_text": "a"}'))
    )
    results = side.collect(client.generate_many(rows(500), stream=False))
    assert [result.generated_text for result in results] == ["a"] * 500
    assert max(result.latency for result in results) <= time.monotonic() - started


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": (2, 1)}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": (1, 2, 3)}, "concurrency"),
        ({"api_urls": []}, "api_urls"),
        ({"api_urls": "http://a"}, "api_url"),
        ({"api_urls": ["http://a", "http://a"]}, "api_urls"),
        ({"api_urls": ["a"]}, "api_urls"),
        ({"rate_limit": 100}, "RateLimit"),
        ({"patience": -1}, "patience"),
        ({"patience": True}, "patience"),
        ({"patience": float("nan")}, "patience"),
        ({"patience": "600"}, "patience"),
        ({"resume": True}, "resume"),
        ({"rows": "a prompt"}, "rows"),
        ({"rows": {"inputs": "a prompt"}}, "rows"),
        ({"rows": 7}, "rows"),
    ],
)
def test_unusable_arguments_are_refused_by_the_call(side, options, message):
    with pytest.raises(hfgen.InvalidRequestError, match=message):
        side.client().generate_many(**{"rows": []} | options)


def test_unknown_options_are_type_errors(side):
    with pytest.raises(TypeError, match="api_kee"):
        side.client().generate_many([], api_kee="x")
