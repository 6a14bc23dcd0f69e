"""Servers that others wrote, with the bundled model: how they are started and how they differ."""

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
# Tokens in the context of the bundled model.
CONTEXT = 512


@dataclass(frozen=True)
class ServerProfile:
    """How a server is started, and how it differs from the others.

    Attributes:
        name: The name of the server in the names of tests.
        folder: The folder in which its make target installs it.
        command: The command that starts it, relative to the folder.
        environment: Environment variables of the server.
        patience: How many seconds it may take to start.
        has_key: Whether it can require a key.
        kind: The server that `info()` reports; None if it does not tell.
        model: The model that `info()` reports.
        dialect: The option `dialect` of clients.
        stop_string: What is in the text of a stop string: all of it ("kept"), nothing ("cut"), or
            the whole last token ("token").
        has_token_ids: Whether it sends the ids of tokens, and with them log-probabilities.
        sampling_parameters: The server's own parameters without which `temperature` has no effect.
        several_sequences: What it does with `num_return_sequences`: "all", "refused", "ignored".
        grammars: The types of grammar that it supports.
        can_truncate: Whether it supports `truncate`.
        can_tokenize: Whether it has a route that tokenizes.
        too_long_error: The error for a prompt beyond the context; None if it takes the prompt.
        unknown_model_error: The error for an unknown model; None if it takes any name.
        ends_with_done: Whether `[DONE]` is the last event.
        endless_parameters: Parameters with which it does not stop at the end of the story.
        work_metrics: The names of its metrics for running generations and for generated tokens.
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
    stop_string: str = "kept"
    has_token_ids: bool = False
    sampling_parameters: dict[str, Any] = field(default_factory=dict)
    several_sequences: str = "all"
    grammars: tuple[str, ...] = ()
    can_truncate: bool = False
    can_tokenize: bool = True
    too_long_error: type[Exception] | None = hfgen.ValidationError
    unknown_model_error: type[Exception] | None = None
    ends_with_done: bool = True
    endless_parameters: dict[str, Any] = field(default_factory=dict)
    work_metrics: tuple[str, str] | None = None

    @property
    def program(self) -> Path:
        return ROOT / self.folder / self.command[0]


SERVER_PROFILES = (
    ServerProfile(
        name="hfgen",
        kind="tgi",
        dialect="completions",
        several_sequences="refused",
        work_metrics=("tgi_batch_current_size", "tgi_request_generated_tokens_sum"),
    ),
    ServerProfile(
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
        stop_string="cut",
        has_token_ids=True,
        grammars=("json",),
        endless_parameters={"ignore_eos": True},
        work_metrics=("llamacpp:requests_processing", "llamacpp:tokens_predicted_total"),
    ),
    ServerProfile(
        name="transformers",
        folder=".venv-transformers",
        command=(
            *("bin/transformers", "serve", str(MODEL)),
            *("--host", "127.0.0.1", "--port", "{port}", "--device", "cpu", "--dtype", "float32"),
        ),
        environment={"HF_HUB_OFFLINE": "1"},
        patience=180,
        stop_string="token",
        # Without this, the generation config of the model decides whether tokens are drawn.
        sampling_parameters={"generation_config": json.dumps({"do_sample": True})},
        several_sequences="ignored",
        can_tokenize=False,
        too_long_error=None,
        unknown_model_error=hfgen.ValidationError,
        ends_with_done=False,
    ),
    ServerProfile(
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
        has_token_ids=True,
        grammars=("json", "regex"),
        can_truncate=True,
        unknown_model_error=hfgen.NotFoundError,
        endless_parameters={"ignore_eos": True},
        work_metrics=("vllm:num_requests_running", "vllm:generation_tokens_total"),
    ),
)


class RunningServer:
    """A running server.

    Attributes:
        profile: How it differs from other servers.
        url: Its URL.
        options: The options of its clients.
    """

    def __init__(self, profile: ServerProfile, url: str) -> None:
        self.profile = profile
        self.url = url
        key = {"api_key": KEY} if profile.has_key else {}
        self.options = {"api_url": url, "dialect": profile.dialect, "timeout": 120, **key}

    def measure(self) -> tuple[float, float]:
        """Return how many generations run now, and how many tokens there have been."""
        assert self.profile.work_metrics
        text = self._get("/metrics").decode()
        return tuple(
            sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (.+)$", text, re.MULTILINE)))
            for name in self.profile.work_metrics
        )

    def wait_until_idle(self) -> float:
        """Wait until nothing runs; return how many tokens there have been."""
        for _ in range(600):
            start_other_server, count = self.measure()
            if not start_other_server:
                return count
            time.sleep(0.05)
        raise AssertionError("it does not stop generating")

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
def start_other_server(profile: ServerProfile, log: Path):
    """Start a server, and stop it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = ROOT / profile.folder
    arguments = [part.format(port=port, key=KEY) for part in profile.command[1:]]
    home = folder / "home"
    (home / "hub").mkdir(parents=True, exist_ok=True)
    caches = {"HF_HOME": str(home), "VLLM_CACHE_ROOT": str(folder / "cache")}
    environment = {**os.environ, **caches, "OMP_NUM_THREADS": "1", **profile.environment}
    with log.open("wb") as output:
        # In a process group of its own, so that its children can be killed with it.
        process = subprocess.Popen(
            [profile.program, *arguments],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        server = RunningServer(profile, f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + profile.patience
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


def parse_events(body: bytes) -> list[Any]:
    """Return the data of a stream's events; what is not JSON stays text."""
    lines = [line[5:].strip() for line in body.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) if line.startswith("{") else line for line in lines]
