"""The instructions that a token or a call takes: counted, where seconds vary with the machine.

    python -m benchmarks.instructions                      # hfgen, the floor, and by hand
    python -m benchmarks.instructions hfgen openai

Valgrind's callgrind counts them, in the client's process and outside the kernel; it must be
installed. Of two runs, one longer than the other, the difference is taken: what happens once is
left out. The counts come out alike whatever else the machine does, but they are no times: a token
that comes by itself waits for memory more than they tell.
"""

from __future__ import annotations

import argparse
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmarks.roster import CLIENTS, Client
from benchmarks.runner import worked
from benchmarks.scenarios import Scenario
from benchmarks.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds for a run: under valgrind a client takes fifty times as long.
PATIENCE = 300
CALLGRIND = (
    *("env", "PYTHONHASHSEED=0"),
    *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
)
CLOSEST = ("floor", "hfgen", "http.client, by hand", "aiohttp, by hand")


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What is counted: runs with so many tokens, or calls.

    Attributes:
        title: What one of them is.
        few: How many in the shorter run.
        many: How many in the longer one.
        scenario: The run with so many.
    """

    title: str
    few: int
    many: int
    scenario: Callable[[int], Scenario]


def counted(kind: Literal["sync", "async"]) -> tuple[Counted, ...]:
    """Return what is counted of this side."""

    def tokens(count: int) -> Scenario:
        # So slow that under valgrind, too, each is read by itself.
        return Scenario(name="token", title="", kind=kind, tokens=count, rate=200)

    def streams(count: int) -> Scenario:
        return Scenario(name="first", title="", kind=kind, what="first", calls=count)

    def calls(count: int) -> Scenario:
        return Scenario(name="run", title="", kind=kind, what="run", calls=count)

    return (
        Counted(title="a token that comes by itself", few=200, many=600, scenario=tokens),
        Counted(title="a stream of one token", few=50, many=150, scenario=streams),
        Counted(title="a call of `run`", few=50, many=150, scenario=calls),
    )


def count(client: Client, scenario: Scenario, servers: Servers) -> int:
    """Return the instructions of the process that does this."""
    done = worked(
        client,
        scenario,
        servers.place(client, scenario),
        under=CALLGRIND,
        patience=PATIENCE,
    )
    return collected(done.stderr)


def each_takes(client: Client, what: Counted, servers: Servers) -> int:
    """Return the instructions of one of what is counted."""
    shorter, longer = what.scenario(what.few), what.scenario(what.many)
    # A first run may write bytecode.
    worked(client, shorter, servers.place(client, shorter))
    more = count(client, longer, servers) - count(client, shorter, servers)
    return more // (what.many - what.few)


def collected(said: str) -> int:
    """Return the count in what callgrind says at its end.

    Raises:
        SystemExit: There is none; the text says what there is.
    """
    found = re.search(r"Collected *: *(\d+)", said)
    if not found:
        raise SystemExit(f"callgrind counted nothing: {said[-500:]}")
    return int(found[1])


def main() -> None:
    """Count for the clients that the command line names."""
    here = {client.name: client for client in CLIENTS if client.module and client.is_here}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("clients", nargs="*", metavar="NAME", help=f"of: {', '.join(here)}")
    names = parser.parse_args().clients or [name for name in CLOSEST if name in here]
    if unknown := set(names) - here.keys():
        parser.error(f"no such client here: {', '.join(sorted(unknown))}")
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed")
    with Servers() as servers:
        for kind in ("sync", "async"):
            for each in counted(kind):
                print(f"{kind}, {each.title}")
                for client in (here[name] for name in names):
                    if kind not in client.kinds or client.environment == "node":
                        continue
                    print(f"  {client.name:28}{each_takes(client, each, servers):12,}")


if __name__ == "__main__":
    main()
