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
# The environment that has hfgen.
BASE = ENVIRONMENTS / "base"

Role = Literal["floor", "hfgen", "peer"]


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client that is measured.

    Attributes:
        name: Its name in the results.
        role: Whether it is the floor, hfgen or a peer.
        module: Its module in `clients/`, or in `node/`.
        environment: The requirements that it is installed from; "node" for a package of Node.
        kinds: The sides that it has.
        loop: The event loop of its async side.
        variant: The options of hfgen that it uses; see `clients/hfgen.py`.
        imports: The statements that `import` measures: they import the package and make a client.
        dependencies: The client whose `import` measures the dependencies alone; the difference is
            the package's own time.
        share: It gets one `share`-th of a scenario's calls, streams or tokens, because all of them
            would take minutes.
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

    # The command that installs it.
    origin = "make bench"

    @property
    def floor(self) -> str:
        """The name of the floor that it is compared with."""
        return "floor" if self.loop == "asyncio" else f"floor, {self.loop}"

    @property
    def is_installed(self) -> bool:
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
        if scenario.task == "import":
            return bool(self.imports)
        if scenario.task == "many" and self.environment == "node":
            # It has neither asyncio nor a method for many prompts.
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
        """The arguments of that command."""
        return {"module": self.module, "variant": self.variant, "loop": self.loop}

    def import_command(self) -> list[str]:
        """Return the command that does nothing but import it."""
        if self.environment == "node":
            return ["node", "--input-type=module", "--eval", self.imports]
        return [str(self.python), "-c", self.imports]


# Ways of calling hfgen, one at a time.
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
