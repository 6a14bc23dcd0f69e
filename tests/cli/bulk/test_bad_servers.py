"""Bulk runs against servers that fail, in every way that servers do."""

import json
import threading

from helpers.bulk_rows import answer_prompt, check, prompts, text_for
from hfgen.testing import (
    Cut,
    Hang,
    Pause,
    ScriptedServer,
    answer,
    as_json,
    chunk,
    comment,
    done,
    event,
    events,
    fault,
    generated,
    loading,
    overloaded,
    status,
    tokens,
)

_HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"

_ANTHROPIC_OVERLOAD = {
    "type": "error",
    "error": {"type": "overloaded_error", "message": "Overloaded"},
}

# What goes wrong once, given the right text; then the same prompt is answered.
FAILURES = {
    "html, 502": lambda _: status(502, _HTML, headers={"content-type": "text/html"}),
    "html, 200": lambda _: answer(_HTML.encode(), headers={"content-type": "text/html"}),
    "empty, 500": lambda _: status(500),
    "empty, 200": lambda _: answer(headers={"content-type": "text/event-stream"}),
    "plain, 503": lambda _: status(503, "upstream connect error"),
    "504": lambda _: status(504, "stream timeout"),
    "429, come back": lambda _: overloaded(retry_after=0.05),
    "429": lambda _: status(429, "slow down"),
    "full, in-band": lambda _: overloaded(in_band=True),
    "full, in-band, sglang": lambda _: overloaded(in_band=True, server="sglang"),
    "full, in-band, anthropic": lambda _: events(event(_ANTHROPIC_OVERLOAD, name="error")),
    "loading": lambda _: loading(0.05),
    "an error in a 200": lambda _: as_json(fault("out of memory")),
    "an error before tokens": lambda _: events(fault("out of memory")),
    "an error after tokens": lambda text: tokens(*text.split(), fault("out of memory")),
    "a list of errors": lambda text: tokens(text, fault("out of memory", server="hosted")),
    "an error object": lambda text: tokens(text, fault("gone", server="vllm", code=500), done()),
    "aborted": lambda text: tokens(text, finish_reason="abort"),
    "no last event": lambda text: tokens(*text.split(), ends=False),
    "no token at all": lambda _: events(comment("keepalive")),
    "closed in a chunk": lambda text: tokens(text).at(30, Cut()),
    "reset in the middle": lambda text: tokens(*text.split(), Cut(reset=True)),
    "cut short of its length": lambda text: tokens(text, " more", framing="length").at(40, Cut()),
    "no JSON": lambda text: events(chunk(text), b"data: {\n\n"),
    "half a character": lambda _: events(b'data: {"token": {"text": "\xf0\x9f"}}\n\n', Cut()),
    "stalled": lambda text: tokens(text, Hang()),
    "silent": lambda _: answer(Hang(), framing="raw"),
    "hung up": lambda _: answer(Cut(), framing="raw"),
    "reset at once": lambda _: answer(Cut(reset=True), framing="raw"),
    "no HTTP": lambda _: answer(b"what?\r\n\r\n", Cut(), framing="raw"),
}


def _crlf(text):
    body = tokens(text).content.replace(b"\n", b"\r\n")
    return answer(b"\xef\xbb\xbf" + body, headers={"content-type": "text/event-stream"})


# What is no failure, however odd it looks.
ODDITIES = (
    lambda text: tokens(*text),
    lambda text: tokens(text).in_pieces(3),
    lambda text: tokens(text, headers={"content-type": "text/event-stream; charset=utf-8"}),
    generated,
    lambda text: as_json([{"generated_text": text}]),
    lambda text: tokens(comment(), text[:3], comment("keepalive"), text[3:], comment()),
    lambda text: tokens(text, framing="close"),
    lambda text: tokens(text, framing="close").at(-1, Cut()),
    lambda text: events(event(chunk(text, generated_text=text)).replace(b"data: ", b"data:")),
    lambda text: events(event(json.dumps(chunk(text, generated_text=text), indent=1))),
    _crlf,
)


def _odd(prompt):
    # What Python, but no server, takes for line ends; characters of every length; a quote.
    return f'{text_for(prompt)} \u2028\u2029\x85\x0b\x0c é 🙂 "\\'


class Failing:
    """A server's script: each tenth prompt fails once, the ways in turn."""

    def __init__(self):
        self.failed = set()
        self._lock = threading.Lock()

    def __call__(self, request):
        prompt = request.json["inputs"]
        text, number = _odd(prompt), int(prompt.split()[-1])
        with self._lock:
            fails = number % 10 == 3 and number not in self.failed
            self.failed |= {number} if fails else set()
        if fails:
            return list(FAILURES.values())[number // 10 % len(FAILURES)](text)
        return ODDITIES[number % len(ODDITIES)](text)


def test_a_tenth_of_all_requests_fails_in_every_way(folder):
    count = 10 * len(FAILURES) * 2
    folder.write(prompts(count))
    failing = Failing()
    with ScriptedServer(failing) as server:
        done_ = folder.run(server.url, "--timeout", "2", "--concurrency", "1..64")
        assert done_.returncode == 0, done_.stderr
        assert len(failing.failed) == count // 10
        assert len(server.requests) == count + count // 10
    rows = folder.rows()
    assert sorted(row["id"] for row in rows) == list(range(count))
    wrong = [row for row in rows if row["generated_text"] != _odd(row["inputs"])]
    assert wrong == []


def test_the_same_without_streams(folder):
    count = 200
    folder.write(prompts(count))
    failing = Failing()
    with ScriptedServer(failing) as server:
        done_ = folder.run(server.url, "--no-stream", "--timeout", "2")
        assert done_.returncode == 0, done_.stderr
        assert all(request.json["stream"] is False for request in server.requests)
    assert sorted(row["id"] for row in folder.rows()) == list(range(count))
    assert all(row["generated_text"] == _odd(row["inputs"]) for row in folder.rows())


def test_one_of_two_servers_dies(folder):
    folder.write(prompts(400))
    with (
        ScriptedServer(lambda request: answer_prompt(request, after=0.02)) as stays,
        ScriptedServer(lambda request: answer_prompt(request, after=0.02)) as dies,
    ):
        process = folder.start(
            stays.url, "--api-url", dies.url, "--concurrency", "8", "--max-errors", "0"
        )
        dies.request(60, timeout=30)
        dies.close()
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        assert len(stays.requests) > 200
    check(folder.rows(), 400)


def test_a_server_that_is_slow_to_come_gets_its_share(folder):
    # The second one refuses at first; it is rested, tried again, and takes part.
    refused = threading.Semaphore(3)

    def late(request):
        return (
            status(500, "starting") if refused.acquire(blocking=False) else answer_prompt(request)
        )

    folder.write(prompts(300))
    with (
        ScriptedServer(lambda request: answer_prompt(request, after=0.05)) as first,
        ScriptedServer(late) as second,
    ):
        done_ = folder.run(first.url, "--api-url", second.url, "--concurrency", "4")
        assert done_.returncode == 0, done_.stderr
        assert len(second.requests) > 3
    check(folder.rows(), 300)


def test_texts_that_stay_unfinished_are_rows_with_an_error(folder):
    reasons = {0: "abort", 1: "content_filter", 2: "length"}
    folder.write(prompts(3))

    def give(request):
        reason = reasons[int(request.json["inputs"].split()[-1])]
        return tokens("a", "b", finish_reason=reason)

    with ScriptedServer(give) as server:
        done_ = folder.run(server.url, "--max-retries", "1")
        assert done_.returncode == 3
        assert len(server.requests) == 4
    rows = {row["id"]: row for row in folder.rows()}
    assert rows[0]["error"]["type"] == "IncompleteGenerationError"
    assert rows[1]["error"]["type"] == "ContentFilterError"
    assert [rows[number].get("generated_text") for number in range(3)] == [None, None, "ab"]


def test_no_server_is_an_error_at_once(folder):
    folder.write(prompts(1000))
    done_ = folder.run("http://127.0.0.1:9")
    assert done_.returncode == 1
    *before, last = done_.stderr.splitlines()
    assert last.startswith("hfgen: error: cannot connect to http://127.0.0.1:9")
    # What it waits for meanwhile is said, too.
    assert all("paused: http://127.0.0.1:9 (cannot connect to " in line for line in before)


def test_a_wrong_key_is_an_error_at_once(folder):
    folder.write(prompts(1000))
    with ScriptedServer(status(401)) as server:
        done_ = folder.run(server.url, "--api-key", "hf_wrong")
        assert done_.returncode == 1
        assert len(server.requests) < 5
    assert "401" in done_.stderr
    assert "hf_wrong" not in done_.stderr
    assert done_.stderr.count("\n") == 1


def test_a_wrong_model_is_an_error_at_once(folder):
    folder.write(prompts(1000))
    with ScriptedServer(status(404)) as server:
        done_ = folder.run(server.url, "--model", "no/such")
        assert done_.returncode == 1
        assert len(server.requests) < 10
    assert "404" in done_.stderr
    assert folder.count_lines() == 0


def test_a_server_that_takes_few_at_once_is_asked_for_few(folder):
    limit, lock = 4, threading.Lock()
    running = most = refused = 0

    def answer_(request):
        nonlocal running, most, refused
        with lock:
            running += 1
            most = max(most, running)
            if running > limit:
                running -= 1
                refused += 1
                return overloaded()
        threading.Timer(0.02, leave).start()
        return tokens("text for ", Pause(0.02), request.json["inputs"])

    def leave():
        nonlocal running
        with lock:
            running -= 1

    folder.write(prompts(300))
    with ScriptedServer(answer_) as server:
        done_ = folder.run(server.url)
        assert done_.returncode == 0, done_.stderr
    check(folder.rows(), 300)
    assert refused < 150
