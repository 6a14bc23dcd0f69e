"""Several measurements of one client in one process, for `instructions.py` to count.

    python -m benchmarks.instructions_worker '{"module": "floor", "parts": [{...}, ...], ...}'

It writes nothing: callgrind, which it runs under, writes a count at each mark of the meter.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from benchmarks.scenarios import Scenario
from benchmarks.worker import measure


def main() -> None:
    """Do each part that the command line names."""
    arguments = json.loads(sys.argv[1])
    module = importlib.import_module(f"benchmarks.clients.{arguments['module']}")
    for part in arguments["parts"]:
        measure(module, arguments, part["address"], Scenario(**part["scenario"]))
    os._exit(0)


if __name__ == "__main__":
    main()
