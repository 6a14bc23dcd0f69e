"""One measurement of a part of hfgen's local server, without HTTP.

    python -m benchmarks.engine '{"part": "engine", "scenario": {...}}'

"engine" measures forward passes alone, with the most likely token of each; "batcher" measures
everything in the server except HTTP.
"""

from __future__ import annotations

import json
import queue
import resource
import statistics
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.scenarios import Scenario
from benchmarks.wire import STORIES
from benchmarks.worker import Meter
from hfgen import __version__
from hfgen.server.engine.batcher import Batcher
from hfgen.server.engine.checkpoint import BUNDLED, Model, load_checkpoint
from hfgen.server.engine.jobs import Event, Failed, Generated, Job, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable


def generate_with_engine(model: Model, scenario: Scenario) -> list[float]:
    """Generate in batches, all of one length; return the seconds to the first tokens."""
    engine = model.engine
    prompts = [model.tokenizer.encode(story).ids for story in STORIES]
    first_token_seconds = []
    for start in range(0, scenario.calls, scenario.streams):
        numbers = range(start, min(start + scenario.streams, scenario.calls))
        started_at = time.perf_counter()
        sequences, ids = [], []
        for number in numbers:
            sequence = engine.open()
            logits = engine.extend(sequence, prompts[number % len(prompts)])
            sequences.append(sequence)
            ids.append(int(logits[-1].argmax()))
            first_token_seconds.append(time.perf_counter() - started_at)
        for _ in range(scenario.tokens - 1):
            ids = engine.step(sequences, ids).argmax(axis=1).tolist()
        for sequence in sequences:
            engine.close(sequence)
    return first_token_seconds


def generate_with_batcher(model: Model, scenario: Scenario) -> list[float]:
    """Generate with the batcher; return the seconds to the first tokens."""
    batcher = Batcher(model, max_batch=scenario.streams)
    batcher.start()
    prompts = [tuple(model.tokenizer.encode(story).ids) for story in STORIES]
    first_token_seconds: list[float] = []
    last_events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def submit(number: int) -> None:
        started_at = time.perf_counter()
        is_first = True

        def emit(event: Event) -> None:
            nonlocal is_first
            if isinstance(event, Failed) or (isinstance(event, Generated) and event.finish_reason):
                last_events.put(event)
            if isinstance(event, Generated) and is_first:
                first_token_seconds.append(time.perf_counter() - started_at)
                is_first = False

        input_ids = prompts[number % len(prompts)]
        job = Job(input_ids=input_ids, sampling=Sampling(seed=0), max_new_tokens=scenario.tokens)
        batcher.submit(job, emit)

    for number in range(min(scenario.streams, scenario.calls)):
        submit(number)
    for number in range(scenario.streams, scenario.calls + scenario.streams):
        event = last_events.get()
        if not isinstance(event, Generated) or event.finish_reason != "length":
            raise SystemExit(f"not {scenario.tokens} tokens: {event}")
        if number < scenario.calls:
            submit(number)
    batcher.stop(0)
    return first_token_seconds


PARTS: dict[str, Callable[[Model, Scenario], list[float]]] = {
    "engine": generate_with_engine,
    "batcher": generate_with_batcher,
}


def main() -> None:
    """Measure what the command line says."""
    arguments = json.loads(sys.argv[1])
    scenario = Scenario(**arguments["scenario"])
    generate = PARTS[arguments["part"]]
    model = load_checkpoint(BUNDLED)
    generate(model, replace(scenario, calls=scenario.streams, tokens=8))
    with Meter() as meter:
        first_token_seconds = generate(model, scenario)
    tokens = scenario.calls * scenario.tokens
    measurement = {
        "figure": meter.cpu / tokens * 1e6,
        "wall": meter.wall,
        "speed": tokens / meter.wall,
        "first": statistics.median(first_token_seconds) * 1000,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "package": "hfgen",
        "version": __version__,
    }
    print(json.dumps(measurement))


if __name__ == "__main__":
    main()
