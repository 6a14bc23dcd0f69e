"""What every route needs, made once for each server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from hfgen._version import __version__
from hfgen.server._options import Limits, ServerOptions
from hfgen.server.http.inference import Inference
from hfgen.server.http.metrics import Metrics
from hfgen.server.http.validation import Validator

if TYPE_CHECKING:
    from hfgen.server.engine.batcher import Batcher
    from hfgen.server.engine.checkpoint import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One model being served."""

    name: str
    options: ServerOptions
    limits: Limits
    validator: Validator
    inference: Inference
    metrics: Metrics

    @property
    def fingerprint(self) -> str:
        """What `/v1/completions` calls `system_fingerprint`: version and build."""
        return f"{__version__}-native"

    @classmethod
    def of(cls, model: Model, batcher: Batcher, options: ServerOptions) -> Service:
        """Put a service together, on the loop that it runs on."""
        limits = Limits.of(options, max_positions=model.engine.max_positions)
        metrics = Metrics(
            limits,
            queue_size=lambda: batcher.queue_size,
            batch_size=lambda: batcher.batch_size,
        )
        validator = Validator(model.tokenizer, limits)
        permits = options.max_concurrent_requests
        return cls(
            name=model.name,
            options=options,
            limits=limits,
            validator=validator,
            inference=Inference(batcher, validator, metrics, permits=permits),
            metrics=metrics,
        )


SERVICE = web.AppKey("service", Service)
