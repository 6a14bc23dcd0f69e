"""The errors with which the local server answers a request, in one tree.

    RequestError              the base; status, type and message are TGI's
    ├── ValidationError       422 `validation`
    ├── OverloadedError       429 `overloaded`
    ├── GenerationError       424 `generation`
    ├── SuffixError           422 `suffix not supported`
    └── BatchSizeError        422 `batch size exceeded`

Statuses, types and messages: text-generation-inference, `router/src/infer/mod.rs` (`InferError`)
and `router/src/server.rs` (its conversion to a response; `completions`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class RequestError(Exception):
    """The base of all errors with which a request is answered.

    Attributes:
        status: The HTTP status of the answer, unless the answer is a stream.
        error_type: TGI's name for the error.
        failure: The value of the label `err` under which `tgi_request_failure` counts the error.
        prefix: The beginning of the message, before the detail.
        headers: Headers of the answer, unless the answer is a stream.
    """

    status: ClassVar[int] = 422
    error_type: ClassVar[str]
    failure: ClassVar[str] = "validation"
    prefix: ClassVar[str] = ""
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, detail: str) -> None:
        super().__init__(detail)

    def __str__(self) -> str:
        return f"{self.prefix}{self.args[0]}"


class ValidationError(RequestError):
    error_type = "validation"
    prefix = "Input validation error: "


class OverloadedError(RequestError):
    status = 429
    error_type = failure = "overloaded"
    # TGI says nothing about it. Generations end all the time, so the next second may have a place.
    headers = MappingProxyType({"retry-after": "1"})

    def __init__(self, detail: str = "Model is overloaded") -> None:
        super().__init__(detail)


class GenerationError(RequestError):
    status = 424
    error_type = failure = "generation"
    prefix = "Request failed during generation: "


class SuffixError(RequestError):
    error_type = "suffix not supported"

    def __init__(
        self,
        detail: str = "Suffix is not supported and can be achieved by preprocessing the prompt.",
    ) -> None:
        super().__init__(detail)


class BatchSizeError(RequestError):
    error_type = "batch size exceeded"
    prefix = "Number of prompts exceeds the maximum allowed batch size of "
