"""The public names, and where they come from."""

from importlib import import_module
from typing import TYPE_CHECKING

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
from hfgen._core.errors import (
    AbortError,
    AuthenticationError,
    BulkFileError,
    ConnectError,
    GenerationError,
    HfgenError,
    IncompleteGenerationError,
    InvalidRequestError,
    LocalServerError,
    MalformedAnswerError,
    MalformedStreamError,
    ModelLoadingError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StatusError,
    StreamClosedError,
    StreamingNotSupportedError,
    TimeoutError,  # noqa: A004
    ValidationError,
)
from hfgen._core.fetch import AsyncFetch, Fetch, FetchRequest, FetchResponse
from hfgen._core.request import GenerateParameters, GenerationRequest, Grammar, InferenceOptions
from hfgen._core.retry import Retry
from hfgen._core.timeout import Timeout
from hfgen._io.signal import AbortController, AbortSignal
from hfgen._options import AsyncClientOptions, AsyncOptions, ClientOptions, Options
from hfgen._static import AsyncHuggingFaceTextGeneration, HuggingFaceTextGeneration
from hfgen._sync.client import Client
from hfgen._sync.stream import Stream
from hfgen._version import __version__

if TYPE_CHECKING:
    from hfgen._async.bulk_results import AsyncBulk
    from hfgen._async.client import AsyncClient
    from hfgen._async.stream import AsyncStream
    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._bulk.results import BulkResult, BulkStatistics, ServerStatistics
    from hfgen._sync.bulk import Bulk

__all__ = [
    "AbortController",
    "AbortError",
    "AbortSignal",
    "Answer",
    "AsyncBulk",
    "AsyncClient",
    "AsyncClientOptions",
    "AsyncFetch",
    "AsyncHuggingFaceTextGeneration",
    "AsyncOptions",
    "AsyncStream",
    "AuthenticationError",
    "BestOfSequence",
    "Bulk",
    "BulkFileError",
    "BulkResult",
    "BulkStatistics",
    "Chunk",
    "Client",
    "ClientOptions",
    "ConnectError",
    "Details",
    "Fetch",
    "FetchRequest",
    "FetchResponse",
    "GenerateParameters",
    "GeneratedText",
    "GenerationError",
    "GenerationRequest",
    "Grammar",
    "HfgenError",
    "HuggingFaceTextGeneration",
    "IncompleteGenerationError",
    "InferenceOptions",
    "InvalidRequestError",
    "LocalServerError",
    "MalformedAnswerError",
    "MalformedStreamError",
    "ModelLoadingError",
    "NotFoundError",
    "Options",
    "OverloadedError",
    "PermissionDeniedError",
    "PrefillToken",
    "RateLimit",
    "RateLimitError",
    "Retry",
    "ServerError",
    "ServerInfo",
    "ServerStatistics",
    "SimpleToken",
    "StatusError",
    "Stream",
    "StreamClosedError",
    "StreamDetails",
    "StreamingNotSupportedError",
    "Timeout",
    "TimeoutError",
    "Token",
    "ValidationError",
    "__version__",
]

# With the first three comes asyncio, which takes as long to import as all the rest.
_LATER = {
    "AsyncBulk": "_async.bulk_results",
    "AsyncClient": "_async.client",
    "AsyncStream": "_async.stream",
    "Bulk": "_sync.bulk",
    "BulkResult": "_bulk.results",
    "BulkStatistics": "_bulk.results",
    "RateLimit": "_bulk.rate_limit",
    "ServerStatistics": "_bulk.results",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"hfgen.{_LATER[name]}"), name)
