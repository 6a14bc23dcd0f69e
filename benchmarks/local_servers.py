"""The servers that are measured with the bundled model, and the parts of hfgen's server."""

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
        package: The distribution whose version is reported.
        folder: The Python environment that it is installed in.
        serve_command: The command in that environment that starts the server, with `{port}`; empty
            for a part.
        part: Which part of hfgen's server is measured alone: see `engine.py`.
        variables: Environment variables of the server.
        max_streams: It takes part in scenarios with at most this many streams.
        share: As for a client: see `roster.py`.
        origin: The command that installs it.
    """

    name: str
    package: str = "hfgen"
    folder: Path = BASE
    serve_command: tuple[str, ...] = ()
    part: Literal["", "engine", "batcher"] = ""
    variables: dict[str, str] = field(default_factory=dict, hash=False)
    max_streams: int = 64
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
    def is_installed(self) -> bool:
        """Whether it is installed."""
        return (self.folder / "bin" / (self.serve_command or ("python",))[0]).exists()

    def takes_part(self, scenario: Scenario) -> bool:
        """Return whether the scenario is for this server."""
        return scenario.kind == "local" and scenario.streams <= self.max_streams

    @property
    def command(self) -> list[str]:
        """The command that measures it; what to measure is appended."""
        module = "engine" if self.take_share else "server_worker"
        return [str(BASE / "bin" / "python"), "-m", f"benchmarks.{module}"]

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments of that command."""
        return {
            "part": self.take_share,
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
    LocalServer(name="hfgen serve", serve_command=("hfgen", "serve", "--port", "{port}")),
    LocalServer(
        name="transformers serve, batching",
        package="transformers",
        folder=ROOT / ".venv-transformers",
        # Its cache would otherwise take all memory.
        serve_command=(*_TRANSFORMERS, "--continuous-batching", "--cb-max-memory-percent", "0.1"),
        # With more threads it is slower: they wait for each other at every small matrix.
        variables={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        share=2,
        origin="make integration-transformers",
    ),
    LocalServer(
        name="transformers serve, as it comes",
        package="transformers",
        folder=ROOT / ".venv-transformers",
        serve_command=_TRANSFORMERS,
        variables={"HF_HUB_OFFLINE": "1"},
        # It answers one request after the other, in seconds each.
        max_streams=1,
        share=4,
        origin="make integration-transformers",
    ),
)
