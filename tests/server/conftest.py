"""Servers with a scripted engine, and requests to them."""

import asyncio
import contextlib
import json
import threading
import time
from types import SimpleNamespace

import aiohttp
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from hfgen.server import LocalServer, _local_server
from hfgen.server.engine.jobs import Failed, Generated, Started, Token


def token(text, *, special=False, token_id=7, logprob=-0.5):
    return Token(token_id, text, logprob, special)


def story(*texts, end="length"):
    """A generation from its first event to its last; the text of an end token is special."""
    tokens = [token(text, special=text.startswith("<|")) for text in texts]
    return [
        Started(time.perf_counter()),
        *map(Generated, tokens[:-1]),
        Generated(tokens[-1], finish_reason=end),
    ]


class ScriptedJob:
    """A job as the engine sees it. `emit` is called by the test, on the test's thread."""

    def __init__(self, job, emit):
        self.job = job
        self.emit = emit
        self.cancelled = threading.Event()
        self.ended = False

    def cancel(self):
        self.cancelled.set()

    def play(self, events):
        for event in events:
            self.emit(event)
            self.ended = isinstance(event, Failed) or bool(getattr(event, "finish_reason", None))


class ScriptedBatcher:
    """Plays `script(job)` at once; without a script, a test plays the job."""

    def __init__(self, script=None):
        self.script = script
        self.jobs = []
        self.stops = []
        self.started = False
        self._submitted = threading.Condition()

    queue_size = 0

    @property
    def batch_size(self):
        return sum(not (job.ended or job.cancelled.is_set()) for job in self.jobs)

    def start(self):
        self.started = True

    def stop(self, grace):
        self.stops.append(grace)
        for job in self.jobs:
            if not job.ended and not job.cancelled.is_set():
                job.play([Failed("the server is stopping")])

    def submit(self, job, emit):
        scripted = ScriptedJob(job, emit)
        with self._submitted:
            self.jobs.append(scripted)
            self._submitted.notify_all()
        if self.script is not None:
            scripted.play(self.script(job))
        return scripted

    def job(self, index=0):
        """Wait for a job to be submitted, and return it."""
        with self._submitted:
            assert self._submitted.wait_for(lambda: len(self.jobs) > index, timeout=20)
            return self.jobs[index]


@pytest.fixture(scope="session")
def byte_tokenizer():
    """A token for each byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: n for n, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture
def scripted_server(monkeypatch, byte_tokenizer):
    """Start servers with scripted engines: `scripted_server(script, **options)`."""
    servers = []

    def start(script=None, *, max_positions=2048, tokenizer=byte_tokenizer, **options):
        model = SimpleNamespace(
            engine=SimpleNamespace(vocab_size=256, max_positions=max_positions),
            tokenizer=tokenizer,
            eos_ids=frozenset({0}),
            name="scripted",
        )
        batcher = ScriptedBatcher(script)
        monkeypatch.setattr(_local_server, "load_engine", lambda _: (model, batcher))
        server = LocalServer(**options).start()
        servers.append(server)
        return server, batcher

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@pytest.fixture
def engine():
    """The functions that make scripts for an engine."""
    return SimpleNamespace(story=story, token=token)


@pytest.fixture
def parse_events():
    """Return the data of all events of a stream; data that is not JSON stays text."""

    def parse_events(body):
        *events, rest = body.split("\n\n")
        assert rest == ""
        data = [event.removeprefix("data: ") for event in events]
        assert all(f"data: {item}" == event for item, event in zip(data, events, strict=True))
        return [json.loads(item) if item.startswith("{") else item for item in data]

    return parse_events


@pytest.fixture
def complete(http):
    """Ask for a completion, and return the answer."""

    async def complete(server, payload, status=200):
        async with http.post(f"{server.url}/v1/completions", json=payload) as response:
            assert response.status == status
            return await response.json()

    return complete


@pytest.fixture
def stream_completion(http, parse_events):
    """Ask for a completion in a stream, and return the events before `[DONE]`."""

    async def stream(server, payload):
        payload = {**payload, "stream": True}
        async with http.post(f"{server.url}/v1/completions", json=payload) as response:
            assert response.status == 200
            *events, done = parse_events(await response.text())
        assert done == "[DONE]"
        return events

    return stream


@pytest.fixture
def wait_until_refused():
    """Wait until a port of this machine takes no more connections."""

    async def wait(port):
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionError:
                    return
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    return wait
