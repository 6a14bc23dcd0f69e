"""Rows a second of `hfgen.ray.generate` and of Ray Data's own HTTP processor, on one server.

    python -m benchmarks.ray_data                   # answers at once: what a row costs
    python -m benchmarks.ray_data --seconds 0.25    # answers that take long: what is under way

It needs `hfgen[ray]` and pydantic. Both have as many workers, and read whole answers, because the
HTTP processor cannot read streams. It sends the requests of a batch one after the other
(`HttpRequestUDF.udf` does not begin one before it has read the one before), so that it has as many
under way as batches, four a worker by default; hfgen gets 256 a worker. The clock runs while the
middle half of the rows comes out: without the start of the workers, and with as much under way at
its end as at its start.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import ray
from ray.data.llm import HttpRequestProcessorConfig, build_processor

import hfgen.ray

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray.data import Dataset

_BATCH = 64
_AT_ONCE = 256
# Shares of `--rows` that are measured with `--seconds`: with few requests at once, all rows would
# take too long.
_SHARE = {"hfgen.ray": 1.0, "Ray": 0.03}


def generate_with_hfgen(rows: Dataset, url: str, workers: int) -> Dataset:
    """Generate with hfgen."""
    return hfgen.ray.generate(
        rows,
        api_url=f"{url}/generate",
        parameters={"details": False},
        workers=workers,
        concurrency=_AT_ONCE * workers,
        stream=False,
        dialect="tgi",
    )


def generate_with_http_processor(rows: Dataset, url: str, workers: int) -> Dataset:
    """Generate with Ray Data's HTTP processor."""
    processor = build_processor(
        HttpRequestProcessorConfig(
            url=f"{url}/generate",
            concurrency=workers,
            batch_size=_BATCH,
            max_retries=3,
        ),
        preprocess=lambda row: {"payload": {"inputs": row["prompt"], "stream": False}, **row},
        postprocess=lambda row: {
            "id": row["id"],
            "generated_text": row["http_response"]["generated_text"],
        },
    )
    results: Dataset = processor(rows)
    return results


def measure_rate(results: Dataset, count: int) -> float:
    """Return how many rows a second came out, between a quarter and three quarters of them."""
    marks = []
    done = 0
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        assert None not in batch["generated_text"].to_pylist()
        done += batch.num_rows
        if count <= 4 * done and 4 * (done - batch.num_rows) <= 3 * count:
            marks.append((done, time.perf_counter()))
    assert done == count, (done, count)
    (first, began), (last, ended) = marks[0], marks[-1]
    return (last - first) / (ended - began)


def build_server_command(seconds: float | None) -> list[str]:
    """Return the module of the server, and its argument."""
    if seconds is None:
        return ["benchmarks.server", json.dumps({"tokens": 20})]
    return ["benchmarks.slow_server", str(seconds)]


def main() -> None:
    """Measure both in turns; print the medians and the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_data", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="the median that an answer takes (0)")
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    warnings.simplefilter("ignore")
    ray.init(
        num_cpus=arguments.workers + 2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    server = subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", *build_server_command(arguments.seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        _measure_rounds(arguments, f"http://127.0.0.1:{int(server.stdout.readline())}")
    finally:
        server.kill()
        server.wait()
        ray.shutdown()


def _measure_rounds(arguments: argparse.Namespace, url: str) -> None:
    generators: dict[str, Callable[[Dataset, str, int], Dataset]] = {
        "hfgen.ray": generate_with_hfgen,
        "Ray": generate_with_http_processor,
    }
    rates: dict[str, list[float]] = {name: [] for name in generators}
    for number in range(arguments.rounds):
        for name, generate in generators.items():
            count = int(arguments.rows * _SHARE[name]) if arguments.seconds else arguments.rows
            rows: Any = [{"id": i, "prompt": f"prompt {i}"} for i in range(count)]
            dataset = ray.data.from_items(rows, override_num_blocks=max(count // _BATCH, 8))
            rate = measure_rate(generate(dataset, url, arguments.workers), count)
            rates[name].append(rate)
            print(f"round {number + 1}: {name} {rate:.0f} rows/s", flush=True)
    pairs = zip(*rates.values(), strict=True)
    print({name: round(statistics.median(rate)) for name, rate in rates.items()})
    print(f"ratio {statistics.median(mine / other for mine, other in pairs):.2f}")


if __name__ == "__main__":
    main()
