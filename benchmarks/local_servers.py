"""The servers that serve the bundled model, and what hfgen's is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmarks.roster import BASE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.scenarios import Scenario

MODEL = ROOT / "src" / "hfgen" / "server" / "bundled"


@dataclass(frozen=True, kw_only=True)
class LocalServer:
    """A server that is measured, or a part of one in a process of its own.

    Attributes:
        name: Its name in the results.
        package: The distribution whose version is named.
        folder: Its environment, of Python's.
        serves: The command that serves, of that environment, with {port}; none for a part.
        part: Which part of hfgen's: see `engine.py`.
        variables: What it is told by the environment.
        most: How many requests at once it is asked for.
        share: As a client's.
        origin: What installs it.
    """

    name: str
    package: str = "hfgen"
    folder: Path = BASE
    serves: tuple[str, ...] = ()
    part: Literal["", "engine", "batcher"] = ""
    variables: dict[str, str] = field(default_factory=dict, hash=False)
    most: int = 64
    share: int = 1
    origin: str = "make bench"

    floor = "floor, the engine alone"
    loop = "asyncio"
    dependencies = ""

    @property
    def environment(self) -> str:
        """The name of its environment."""
        return self.folder.name

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return (self.folder / "bin" / (self.serves or ("python",))[0]).exists()

    def takes_part(self, scenario: Scenario) -> bool:
        """Return whether the scenario is for this server."""
        return scenario.kind == "local" and scenario.streams <= self.most

    @property
    def command(self) -> list[str]:
        """The command that measures it; what to measure is appended."""
        module = "engine" if self.part else "server_worker"
        return [str(BASE / "bin" / "python"), "-m", f"benchmarks.{module}"]

    @property
    def arguments(self) -> dict[str, str]:
        """What the command is told of it."""
        return {
            "part": self.part,
            "package": self.package,
            "python": str(self.folder / "bin" / "python"),
        }


_TRANSFORMERS = (
    *("transformers", "serve", str(MODEL), "--host", "127.0.0.1", "--port", "{port}"),
    *("--device", "cpu", "--dtype", "float32"),
)

LOCAL_SERVERS = (
    LocalServer(name="floor, the engine alone", part="engine"),
    LocalServer(name="hfgen, without HTTP", part="batcher"),
    LocalServer(name="hfgen serve", serves=("hfgen", "serve", "--port", "{port}")),
    LocalServer(
        name="transformers serve, batching",
        package="transformers",
        folder=ROOT / ".venv-transformers",
        # The memory is for its cache, of which it would take all that there is.
        serves=(*_TRANSFORMERS, "--continuous-batching", "--cb-max-memory-percent", "0.1"),
        # Threads of torch's that wait for each other at every small matrix make it slower.
        variables={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        share=2,
        origin="make integration-transformers",
    ),
    LocalServer(
        name="transformers serve, as it comes",
        package="transformers",
        folder=ROOT / ".venv-transformers",
        serves=_TRANSFORMERS,
        variables={"HF_HUB_OFFLINE": "1"},
        # One request after the other: several at once are queued, at seconds each.
        most=1,
        share=4,
        origin="make integration-transformers",
    ),
)
