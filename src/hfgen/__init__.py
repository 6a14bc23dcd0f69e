"""Hugging Face text generation for Python: four verbs, sync and async.

`run`, `stream`, `stream_tokens` and `stream_bytes` are static methods of
`HuggingFaceTextGeneration` and `AsyncHuggingFaceTextGeneration`, and methods of `Client` and
`AsyncClient`. `hfgen.types` has the types that only annotations need.
"""

# Not imported from `typing`, which takes longer to import than this whole module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfgen._async.client import AsyncClient
    from hfgen._bulk.rate_limit import RateLimit
    from hfgen._core.errors import (
        AbortError,
        AuthenticationError,
        BulkFileError,
        ConnectError,
        ContentFilterError,
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
    from hfgen._core.fetch import FetchRequest, FetchResponse
    from hfgen._core.retry import Retry
    from hfgen._core.timeout import Timeout
    from hfgen._io.signal import AbortController, AbortSignal
    from hfgen._static import AsyncHuggingFaceTextGeneration, HuggingFaceTextGeneration
    from hfgen._sync.client import Client
    from hfgen._version import __version__

# Each public name, and the module to import when the name is used first. Type checkers read the
# imports above instead; tests/test_door.py compares the two.
_MODULES = {
    "AbortController": "_io.signal",
    "AbortError": "_core.errors",
    "AbortSignal": "_io.signal",
    "AsyncClient": "_async.client",
    "AsyncHuggingFaceTextGeneration": "_static",
    "AuthenticationError": "_core.errors",
    "BulkFileError": "_core.errors",
    "Client": "_sync.client",
    "ConnectError": "_core.errors",
    "ContentFilterError": "_core.errors",
    "FetchRequest": "_core.fetch",
    "FetchResponse": "_core.fetch",
    "GenerationError": "_core.errors",
    "HfgenError": "_core.errors",
    "HuggingFaceTextGeneration": "_static",
    "IncompleteGenerationError": "_core.errors",
    "InvalidRequestError": "_core.errors",
    "LocalServerError": "_core.errors",
    "MalformedAnswerError": "_core.errors",
    "MalformedStreamError": "_core.errors",
    "ModelLoadingError": "_core.errors",
    "NotFoundError": "_core.errors",
    "OverloadedError": "_core.errors",
    "PermissionDeniedError": "_core.errors",
    "RateLimit": "_bulk.rate_limit",
    "RateLimitError": "_core.errors",
    "Retry": "_core.retry",
    "ServerError": "_core.errors",
    "StatusError": "_core.errors",
    "StreamClosedError": "_core.errors",
    "StreamingNotSupportedError": "_core.errors",
    "Timeout": "_core.timeout",
    "TimeoutError": "_core.errors",
    "ValidationError": "_core.errors",
    "__version__": "_version",
}


if not TYPE_CHECKING:  # with `__getattr__`, type checkers would accept any name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - `import hfgen` imports nothing

        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULES} - {"TYPE_CHECKING"})


__all__ = [
    "AbortController",
    "AbortError",
    "AbortSignal",
    "AsyncClient",
    "AsyncHuggingFaceTextGeneration",
    "AuthenticationError",
    "BulkFileError",
    "Client",
    "ConnectError",
    "ContentFilterError",
    "FetchRequest",
    "FetchResponse",
    "GenerationError",
    "HfgenError",
    "HuggingFaceTextGeneration",
    "IncompleteGenerationError",
    "InvalidRequestError",
    "LocalServerError",
    "MalformedAnswerError",
    "MalformedStreamError",
    "ModelLoadingError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitError",
    "Retry",
    "ServerError",
    "StatusError",
    "StreamClosedError",
    "StreamingNotSupportedError",
    "Timeout",
    "TimeoutError",
    "ValidationError",
    "__version__",
]
