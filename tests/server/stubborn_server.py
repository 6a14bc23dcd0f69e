"""A server whose engine generates one token, and the last one when a line comes in: a script."""

import signal
import sys
import threading
from types import SimpleNamespace

from tokenizers import Tokenizer, models, pre_tokenizers

from hfgen.server import _local_server, serve
from hfgen.server.engine.jobs import Failed, Generated, Started, Token


class StubbornBatcher:
    queue_size = batch_size = 0

    def __init__(self):
        self._emits = []
        self._ended = threading.Event()

    def start(self):
        threading.Thread(target=self._wait_for_a_line, daemon=True).start()

    def stop(self, grace):  # noqa: ARG002
        if not self._ended.is_set():
            for emit in self._emits:
                emit(Failed("out of time"))

    def submit(self, job, emit):  # noqa: ARG002
        self._emits.append(emit)
        emit(Started(0.0))
        emit(Generated(Token(1, "first", -0.5, False)))
        return SimpleNamespace(cancel=self._ended.set)

    def _wait_for_a_line(self):
        sys.stdin.readline()
        self._ended.set()
        for emit in self._emits:
            emit(Generated(Token(1, " last", -0.5, False), finish_reason="length"))


def load_engine(_):
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    engine = SimpleNamespace(vocab_size=1, max_positions=100)
    model = SimpleNamespace(engine=engine, tokenizer=tokenizer, name="stubborn")
    return model, StubbornBatcher()


_local_server.load_engine = load_engine
serve(port=0, grace=60, on_ready=lambda url: print(url, flush=True))  # noqa: T201
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
print("stopped", flush=True)  # noqa: T201
