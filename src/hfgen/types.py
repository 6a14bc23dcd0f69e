"""Types for annotations: options, requests, and what the verbs return.

Classes and errors that a program calls or catches are in `hfgen` itself.
"""

from hfgen._async.bulk import AsyncBulk
from hfgen._async.stream import AsyncStream
from hfgen._bulk.results import BulkResult, BulkStatistics, ServerStatistics
from hfgen._core.answers import (
    Answer,
    BestOfSequence,
    Chunk,
    Details,
    GeneratedText,
    PrefillToken,
    ServerInfo,
    SimpleToken,
    StreamDetails,
    Token,
)
from hfgen._core.fetch import AsyncFetch, Fetch
from hfgen._core.request import GenerateParameters, GenerationRequest, Grammar
from hfgen._options import (
    AsyncCallOptions,
    AsyncClientOptions,
    AsyncOptions,
    CallOptions,
    ClientOptions,
    Options,
)
from hfgen._sync.bulk import Bulk
from hfgen._sync.stream import Stream

__all__ = [
    "Answer",
    "AsyncBulk",
    "AsyncCallOptions",
    "AsyncClientOptions",
    "AsyncFetch",
    "AsyncOptions",
    "AsyncStream",
    "BestOfSequence",
    "Bulk",
    "BulkResult",
    "BulkStatistics",
    "CallOptions",
    "Chunk",
    "ClientOptions",
    "Details",
    "Fetch",
    "GenerateParameters",
    "GeneratedText",
    "GenerationRequest",
    "Grammar",
    "Options",
    "PrefillToken",
    "ServerInfo",
    "ServerStatistics",
    "SimpleToken",
    "Stream",
    "StreamDetails",
    "Token",
]
