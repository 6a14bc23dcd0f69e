"""Measurements: the metrics of `/metrics`, and the `Timings` of one generation as headers.

Names, units, buckets and headers: text-generation-inference, `router/src/server.rs` (`run`,
`generate_internal`, `completions`). TGI's counters do not end in `_total`, which prometheus_client
insists on, so `Metrics.render` writes the text itself; prometheus_client keeps the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import mul
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hfgen.server._options import Limits
    from hfgen.server.engine.jobs import Job
    from hfgen.server.http.errors import RequestError

# The bounds of 35 buckets: the first is 0.15 ms, and each is 1.5 times the one before.
_SECONDS = tuple(accumulate(repeat(1.5, 34), mul, initial=0.0001 * 1.5))

_DURATIONS = (
    ("total", "tgi_request_duration", "Total time spent processing the request"),
    ("validation", "tgi_request_validation_duration", "Time spent validating the request"),
    ("queue", "tgi_request_queue_duration", "Time spent in the queue per request"),
    ("inference", "tgi_request_inference_duration", "Request inference duration"),
    (
        "time_per_token",
        "tgi_request_mean_time_per_token_duration",
        "Mean time per token per request",
    ),
)

# TGI takes this from the environment variable `COMPUTE_TYPE`; its default is "gpu+optimized".
COMPUTE_TYPE = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The durations of one generation, in seconds, and how many tokens it had."""

    total: float
    validation: float
    queue: float
    inference: float
    prompt_tokens: int
    generated_tokens: int

    @property
    def time_per_token(self) -> float:
        return self.inference / self.generated_tokens


class Metrics:
    """The metrics of one server, in a registry of its own.

    Args:
        limits: The upper ends of the token histograms.
        queue_size: Returns how many jobs wait.
        batch_size: Returns how many jobs run.
    """

    def __init__(
        self, limits: Limits, *, queue_size: Callable[[], int], batch_size: Callable[[], int]
    ) -> None:
        registry = self._registry = CollectorRegistry()

        def token_histogram(name: str, documentation: str, maximum: int) -> Histogram:
            buckets = [maximum / 100 * (step + 1) for step in range(100)]
            return Histogram(name, documentation, registry=registry, buckets=buckets)

        total = limits.max_total_tokens
        self.requests = Counter("tgi_request_count", "Total number of requests", registry=registry)
        self._success = Counter(
            "tgi_request_success", "Number of successful requests", registry=registry
        )
        self._failure = Counter(
            "tgi_request_failure", "Number of failed requests", ["err"], registry=registry
        )
        self._input_length = token_histogram(
            "tgi_request_input_length", "Input token length per request", limits.max_input_tokens
        )
        self._max_new_tokens = token_histogram(
            "tgi_request_max_new_tokens", "Maximum new tokens per request", total
        )
        self._generated_tokens = token_histogram(
            "tgi_request_generated_tokens", "Generated tokens per request", total
        )
        self._durations = {
            field: Histogram(name, documentation, registry=registry, buckets=_SECONDS)
            for field, name, documentation in _DURATIONS
        }
        gauge = Gauge("tgi_queue_size", "Current queue size", registry=registry)
        gauge.set_function(queue_size)
        gauge = Gauge("tgi_batch_current_size", "Current batch size", registry=registry)
        gauge.set_function(batch_size)

    def count_job(self, job: Job) -> None:
        self._input_length.observe(len(job.input_ids))
        self._max_new_tokens.observe(job.max_new_tokens)

    def count_success(self, timings: Timings) -> None:
        self._success.inc()
        self._generated_tokens.observe(timings.generated_tokens)
        for field, histogram in self._durations.items():
            histogram.observe(getattr(timings, field))

    def count_failure(self, error: RequestError) -> None:
        self._failure.labels(error.failure).inc()

    def count_dropped(self) -> None:
        """Count a generation whose client has disconnected."""
        self._failure.labels("dropped").inc()

    def render(self) -> str:
        """Write the metrics in Prometheus's text format, 0.0.4."""
        lines: list[str] = []
        for metric in self._registry.collect():
            lines.append(f"# HELP {metric.name} {metric.documentation}")
            lines.append(f"# TYPE {metric.name} {metric.type}")
            for sample in metric.samples:
                if sample.name.endswith("_created"):
                    continue
                name = sample.name.removesuffix("_total")
                # The labels are `err` and `le`. Their values need no escaping.
                labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
                value = floatToGoString(sample.value)  # type: ignore[no-untyped-call]
                lines.append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
        return "\n".join(lines) + "\n"


def stream_headers(prompts: Sequence[str]) -> dict[str, str]:
    """Return the headers of a stream. They are sent first, when only the prompts are known."""
    return {
        "x-compute-type": COMPUTE_TYPE,
        "x-compute-characters": _count_characters(prompts),
        "x-accel-buffering": "no",
    }


def generation_headers(prompt: str, timings: Timings) -> Mapping[str, str]:
    """Return the headers of an answer on one of TGI's own routes."""
    return {"x-compute-time": str(timings.total), **completion_headers([prompt], [timings])}


def completion_headers(prompts: Sequence[str], timings: Sequence[Timings]) -> dict[str, str]:
    """Return the headers of a completion: sums over its prompts, without `x-compute-time`."""
    return {
        "x-compute-type": COMPUTE_TYPE,
        "x-compute-characters": _count_characters(prompts),
        "x-total-time": _sum_milliseconds(t.total for t in timings),
        "x-validation-time": _sum_milliseconds(t.validation for t in timings),
        "x-queue-time": _sum_milliseconds(t.queue for t in timings),
        "x-inference-time": _sum_milliseconds(t.inference for t in timings),
        "x-time-per-token": _sum_milliseconds(t.time_per_token for t in timings),
        "x-prompt-tokens": str(sum(t.prompt_tokens for t in timings)),
        "x-generated-tokens": str(sum(t.generated_tokens for t in timings)),
    }


def _count_characters(prompts: Sequence[str]) -> str:
    return str(sum(map(len, prompts)))


def _sum_milliseconds(seconds: Iterable[float]) -> str:
    return str(sum(int(value * 1000) for value in seconds))
