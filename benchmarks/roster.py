"""The clients that are measured, each with its module and its environment."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from benchmarks.scenarios import Kind, Scenario

ROOT = Path(__file__).parent.parent
NODE = ROOT / "benchmarks" / "node"
ENVIRONMENTS = ROOT / ".venv-bench"
# Where hfgen is.
BASE = ENVIRONMENTS / "base"

Role = Literal["floor", "hfgen", "peer"]


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client that is measured.

    Attributes:
        name: Its name in the results.
        role: What it is compared as.
        module: Its module in `clients/`; or in `node/`.
        environment: The requirements it is installed from; "node" for a package of Node.
        kinds: Which sides it has.
        loop: What runs its async side.
        variant: Which of its ways; see `clients/hfgen.py`.
        imports: The statements that `import` measures: the import and the making of a client.
        dependencies: The row of `import` that has its dependencies alone; the rest is its own.
        share: It gets one in so many of a scenario's calls, streams or tokens, because all of them
            would take it minutes.
    """

    name: str
    role: Role = "peer"
    module: str
    environment: str = "base"
    kinds: tuple[Kind, ...] = ("sync", "async")
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    variant: str = ""
    imports: str = ""
    dependencies: str = ""
    share: int = 1

    # What installs it.
    origin = "make bench"

    @property
    def floor(self) -> str:
        """The name of the floor that it is compared with."""
        return "floor" if self.loop == "asyncio" else f"floor, {self.loop}"

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        if self.environment == "node":
            return shutil.which("node") is not None and (NODE / "node_modules").is_dir()
        return (ENVIRONMENTS / self.environment / "ready").exists()

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.environment / "bin" / "python"

    def takes_part(self, scenario: Scenario) -> bool:
        """Return whether the scenario is for this client."""
        if scenario.what == "import":
            return bool(self.imports)
        if scenario.what == "many" and self.environment == "node":
            # It has neither asyncio nor a way of its own.
            return False
        if self.module and scenario.is_own:
            return self.role == "hfgen" and self.loop == "asyncio"
        return bool(self.module) and scenario.kind in self.kinds and not self.variant

    @property
    def command(self) -> list[str]:
        """The command that measures it; what to measure is appended."""
        if self.environment == "node":
            return ["node", "--expose-gc", str(NODE / "worker.mjs")]
        return [str(self.python), "-m", "benchmarks.worker"]

    @property
    def arguments(self) -> dict[str, str]:
        """What the command is told of it."""
        return {"module": self.module, "variant": self.variant, "loop": self.loop}

    def import_command(self) -> list[str]:
        """Return the command that does nothing but import it."""
        if self.environment == "node":
            return ["node", "--input-type=module", "--eval", self.imports]
        return [str(self.python), "-c", self.imports]


# Its own ways, one at a time; the first is what the others are compared with.
VARIANTS = ("stream", "stream_bytes", "timeout=None", "max_retries=0", "resume=True", "signal=...")

CLIENTS = (
    Client(name="floor", role="floor", module="floor", imports="pass"),
    Client(name="floor, uvloop", role="floor", module="floor", kinds=("async",), loop="uvloop"),
    Client(name="hfgen", role="hfgen", module="hfgen"),
    Client(
        name="hfgen, Client()",
        role="hfgen",
        module="",
        imports="from hfgen import Client; Client()",
        dependencies="msgspec and urllib3, alone",
    ),
    Client(
        name="hfgen, AsyncClient()",
        role="hfgen",
        module="",
        imports="from hfgen import AsyncClient; AsyncClient()",
        dependencies="msgspec and aiohttp, alone",
    ),
    Client(
        name="msgspec and urllib3, alone",
        role="floor",
        module="",
        imports="import msgspec, urllib3",
    ),
    Client(
        name="msgspec and aiohttp, alone",
        role="floor",
        module="",
        imports="import msgspec, aiohttp",
    ),
    Client(name="hfgen, uvloop", role="hfgen", module="hfgen", kinds=("async",), loop="uvloop"),
    *(
        Client(name=f"hfgen, {variant}", role="hfgen", module="hfgen", variant=variant)
        for variant in VARIANTS
    ),
    Client(name="http.client, by hand", module="http_client", kinds=("sync",)),
    Client(name="aiohttp, by hand", module="aiohttp", kinds=("async",)),
    Client(name="aiohttp, by hand, uvloop", module="aiohttp", kinds=("async",), loop="uvloop"),
    Client(name="httpx, by hand", module="httpx"),
    Client(name="httpx2, by hand", module="httpx2"),
    Client(name="httpx, Client()", module="", imports="import httpx; httpx.Client()"),
    Client(name="httpx, AsyncClient()", module="", imports="import httpx; httpx.AsyncClient()"),
    Client(name="httpx2, Client()", module="", imports="import httpx2; httpx2.Client()"),
    Client(
        name="text-generation",
        module="text_generation",
        environment="text-generation",
        imports="import text_generation; text_generation.Client('http://localhost')",
    ),
    Client(
        name="huggingface_hub",
        module="huggingface_hub",
        environment="huggingface_hub",
        imports="from huggingface_hub import InferenceClient; InferenceClient()",
    ),
    Client(
        name="openai",
        module="openai",
        environment="openai",
        imports="import openai; openai.OpenAI(api_key='-')",
    ),
    Client(
        name="litellm",
        module="litellm",
        environment="litellm",
        imports="import litellm",
        share=20,
    ),
    Client(
        name="@axflow/models",
        module="axflow",
        environment="node",
        kinds=("async",),
        imports="import '@axflow/models/huggingface/text-generation'",
    ),
    Client(
        name="@huggingface/inference",
        module="huggingface_inference",
        environment="node",
        kinds=("async",),
        imports="import '@huggingface/inference'",
    ),
)
