"""Servers that others wrote, with the bundled model: how each is started, and what it is like."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hfgen

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "src" / "hfgen" / "server" / "bundled"
KEY = "the-key"
# The bundled model's.
CONTEXT = 512


@dataclass(frozen=True)
class Foreign:
    """A server, and what of it the tests expect; each difference is asserted as it is.

    Attributes:
        name: For the tests' names.
        folder: Where its make target installs it.
        command: How it is started there.
        environment: What it is told by other means.
        patience: How many seconds it may take to start.
        has_key: Whether it can be told to ask for a key.
        kind: What `info()` calls it, None where nothing tells.
        model: What `info()` says that it serves.
        dialect: The dialect to be spoken.
        stop: What of a stop string is in the text: "kept", "cut", or "token" where the whole of
            the last token is kept.
        ids: Whether it tells the ids of tokens; in what the tests ask for, log-probabilities go
            with them.
        to_sample: What it must be told, in its own words, for it to heed `temperature`.
        several: What becomes of `num_return_sequences`: "all", "refused", "ignored".
        grammars: The types of grammar that it is asked for.
        truncates: Whether it can be asked to.
        tokenizes: Whether it has a route that does.
        too_long: What a prompt beyond the context raises, None if it is taken.
        no_model: What an unknown model raises, None if it is taken.
        ends_with_done: Whether `[DONE]` is the last event.
        on_and_on: Parameters with which it does not stop at the end of the story.
        work: What tells how many generations run now, and how many tokens there have been.
    """

    name: str
    folder: str = ""
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    patience: int = 60
    has_key: bool = False
    kind: str | None = None
    model: str | None = None
    dialect: str = "auto"
    stop: str = "kept"
    ids: bool = False
    to_sample: dict[str, Any] = field(default_factory=dict)
    several: str = "all"
    grammars: tuple[str, ...] = ()
    truncates: bool = False
    tokenizes: bool = True
    too_long: type[Exception] | None = hfgen.ValidationError
    no_model: type[Exception] | None = None
    ends_with_done: bool = True
    on_and_on: dict[str, Any] = field(default_factory=dict)
    work: tuple[str, str] | None = None

    @property
    def program(self) -> Path:
        return ROOT / self.folder / self.command[0]


FOREIGN = (
    Foreign(
        name="hfgen",
        kind="tgi",
        dialect="completions",
        several="refused",
        work=("tgi_batch_current_size", "tgi_request_generated_tokens_sum"),
    ),
    Foreign(
        name="llama-cpp",
        folder=".venv-llama-cpp",
        command=(
            "bin/llama-server",
            *("--model", "storyteller.gguf", "--alias", "storyteller"),
            *("--host", "127.0.0.1", "--port", "{port}", "--api-key", "{key}", "--metrics"),
            *("--ctx-size", str(4 * CONTEXT), "--parallel", "4", "--no-kv-unified"),
            *("--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off"),
            *("--threads", "1", "--offline", "--no-warmup"),
        ),
        has_key=True,
        kind="llama.cpp",
        model="storyteller",
        stop="cut",
        ids=True,
        grammars=("json",),
        on_and_on={"ignore_eos": True},
        work=("llamacpp:requests_processing", "llamacpp:tokens_predicted_total"),
    ),
    Foreign(
        name="transformers",
        folder=".venv-transformers",
        command=(
            *("bin/transformers", "serve", str(MODEL)),
            *("--host", "127.0.0.1", "--port", "{port}", "--device", "cpu", "--dtype", "float32"),
        ),
        environment={"HF_HUB_OFFLINE": "1"},
        patience=180,
        stop="token",
        # Whether it draws is the model's to say, unless this says so.
        to_sample={"generation_config": json.dumps({"do_sample": True})},
        several="ignored",
        tokenizes=False,
        too_long=None,
        no_model=hfgen.ValidationError,
        ends_with_done=False,
    ),
    Foreign(
        name="vllm",
        folder=".venv-vllm",
        command=(
            *("bin/vllm", "serve", str(MODEL), "--served-model-name", "storyteller"),
            *("--host", "127.0.0.1", "--port", "{port}", "--api-key", "{key}"),
            *("--dtype", "float32", "--max-model-len", str(CONTEXT), "--enforce-eager"),
        ),
        environment={
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
        },
        patience=600,
        has_key=True,
        kind="vllm",
        model="storyteller",
        ids=True,
        grammars=("json", "regex"),
        truncates=True,
        no_model=hfgen.NotFoundError,
        on_and_on={"ignore_eos": True},
        work=("vllm:num_requests_running", "vllm:generation_tokens_total"),
    ),
)


class Running:
    """A server that runs: what it is like, and where it is.

    Attributes:
        like: What it is like.
        url: Its URL.
        options: What a client of it is told.
    """

    def __init__(self, like: Foreign, url: str) -> None:
        self.like = like
        self.url = url
        key = {"api_key": KEY} if like.has_key else {}
        self.options = {"api_url": url, "dialect": like.dialect, "timeout": 120, **key}

    def measure(self) -> tuple[float, float]:
        """Return how many generations run now, and how many tokens there have been."""
        assert self.like.work
        said = self._get("/metrics").decode()
        return tuple(
            sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (.+)$", said, re.MULTILINE)))
            for name in self.like.work
        )

    def until_idle(self) -> float:
        """Wait until nothing runs; return how many tokens there have been."""
        for _ in range(600):
            running, count = self.measure()
            if not running:
                return count
            time.sleep(0.05)
        raise AssertionError("it goes on generating")

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._get("/health")
            return True
        return False

    def _get(self, path: str) -> bytes:
        host = self.url.removeprefix("http://")
        with contextlib.closing(http.client.HTTPConnection(host, timeout=10)) as connection:
            connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}"})
            response = connection.getresponse()
            body = response.read()
        if response.status != 200:
            raise OSError(f"{path}: {response.status}")
        return body


@contextlib.contextmanager
def running(like: Foreign, log: Path):
    """Start a server, and stop it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = ROOT / like.folder
    told = [part.format(port=port, key=KEY) for part in like.command[1:]]
    home = folder / "home"
    (home / "hub").mkdir(parents=True, exist_ok=True)
    caches = {"HF_HOME": str(home), "VLLM_CACHE_ROOT": str(folder / "cache")}
    environment = {**os.environ, **caches, "OMP_NUM_THREADS": "1", **like.environment}
    with log.open("wb") as output:
        # With a group of its own, of which nothing is left behind.
        process = subprocess.Popen(
            [like.program, *told],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        server = Running(like, f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + like.patience
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text(errors="replace")[-4000:])
            time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def events(body: bytes) -> list[Any]:
    """Return the data of a stream's events; what is not JSON stays text."""
    lines = [line[5:].strip() for line in body.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) if line.startswith("{") else line for line in lines]
