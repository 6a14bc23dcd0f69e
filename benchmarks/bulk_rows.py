"""Rows a second and peak memory of `hfgen bulk`, by the number of rows.

    python -m benchmarks.bulk_rows                      # 100,000 rows, and a million
    python -m benchmarks.bulk_rows --rows 10000 100000

The output is checked: each row is there once, with its text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.roster import ROOT
from benchmarks.runner import wait_for_end
from benchmarks.server import Plan
from benchmarks.servers import ENVIRONMENT, start_scripted_server


def main() -> None:
    """Run `hfgen bulk` for each number of rows, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_rows", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--streamed", action="store_true", help="read answers as streams")
    arguments = parser.parse_args()
    with start_scripted_server(Plan(tokens=20, interval=0.0, holds=False)) as location:
        url = f"{location['address']}/generate{'_stream' * arguments.streamed}"
        for count in arguments.rows:
            with tempfile.TemporaryDirectory() as folder:
                print(
                    _measure_rows(Path(folder), count, url, streamed=arguments.streamed), flush=True
                )


def _measure_rows(folder: Path, count: int, url: str, *, streamed: bool) -> str:
    rows, output = folder / "rows.jsonl", folder / "out.jsonl"
    with rows.open("w", encoding="ascii") as file:
        file.writelines(f'{{"id":{number},"inputs":"row {number}"}}\n' for number in range(count))
    command = [sys.executable, "-m", "hfgen", "bulk", str(rows), "-o", str(output)]
    command += ["--api-url", url, "--dialect", "tgi", *["--no-stream"] * (not streamed)]
    started_at = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - ours
        command, cwd=ROOT, env=os.environ | ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    usage = wait_for_end(process)
    seconds = time.monotonic() - started_at
    if process.returncode:
        raise SystemExit(f"hfgen bulk ended with {process.returncode}")
    counts = bytearray(count)
    with output.open("rb") as file:
        for line in file:
            row = json.loads(line)
            counts[row["id"]] += bool(row["generated_text"])
    if set(counts) != {1}:
        raise SystemExit("not every row is there once, with its text")
    cpu = (usage.ru_utime + usage.ru_stime) / count * 1e6
    peak = usage.ru_maxrss / 1024
    return (
        f"{count:>9,} rows: {count / seconds:,.0f} rows/s, {cpu:,.0f} µs CPU a row, {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
