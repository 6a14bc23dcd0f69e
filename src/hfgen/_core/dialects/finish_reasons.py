"""Which finish reasons, and errors beside a text, mean that the text is not whole. No I/O.

A finish reason that is not listed here counts as a usual end: servers have words of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfgen._core import server_errors
from hfgen._core.errors import ContentFilterError, HfgenError, IncompleteGenerationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The server broke the generation off. Sources: vLLM `vllm/v1/engine/__init__.py`; SGLang
# `python/sglang/srt/managers/schedule_batch.py`; TensorRT-LLM
# `tensorrt_llm/executor/result.py` ("timeout", "cancelled"); DJL Serving's TGI format ("error");
# the documentation of OpenRouter, DeepSeek and Z.ai (the last two words).
_BROKEN = frozenset(
    {
        "abort",
        "aborted",
        "canceled",
        "cancelled",
        "error",
        "timeout",
        "insufficient_system_resource",
        "network_error",
    }
)
# The server held back the rest of the text under a policy. Sources: OpenAI's API; the
# documentation of Z.ai ("sensitive") and of Amazon Bedrock (the last two words).
_FILTERED = frozenset({"content_filter", "sensitive", "content_filtered", "guardrail_intervened"})


def unfinished_text_error(
    finish_reason: object,
    error: object = None,
    *,
    text: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> HfgenError | None:
    """Return the error to raise in place of a text that is not whole; None if it is whole.

    Args:
        finish_reason: The finish reason as the server words it.
        error: The error that the server put beside the text, if any.
        text: The text.
        headers: The headers of the HTTP answer.
        body: The body of the answer, or the event.
    """
    if error:
        report: Any = server_errors.parse_json_error({"error": error})
        return server_errors.make_status_error(report, headers=headers, body=body, text=text)
    word = finish_reason.lower().replace("-", "_") if isinstance(finish_reason, str) else ""
    if word in _BROKEN:
        return IncompleteGenerationError(
            f"the server broke the generation off (finish reason {finish_reason!r}); "
            "`text` has what came",
            text=text,
        )
    if word in _FILTERED:
        return ContentFilterError(
            "the server held back the rest of the text under its content policy "
            f"(finish reason {finish_reason!r}); `text` has what came",
            text=text,
        )
    return None
