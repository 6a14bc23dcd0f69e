"""The dialect of OpenAI-compatible completions, `/v1/completions`. No I/O.

`dialect` is the door; `body` (with `grammar`, `refusal`) makes the request, and `choice`,
`logprobs` and `sequence` read what comes.
"""

from hfgen._core.dialects.completions.dialect import Completions

__all__ = ["Completions"]
