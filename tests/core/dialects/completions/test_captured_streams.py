"""Captured streams of real servers: their events unchanged, with some left out.

llama.cpp (b1-0c1e570), `transformers serve` and vLLM (0.32.0), all with the same small model.
"""

import pytest

from helpers.completion_streams import chunks, read, texts
from hfgen import IncompleteGenerationError, ServerError
from hfgen.types import Token

LLAMA_CPP = rb"""
data: {"choices":[{"text":",","index":0,"logprobs":{"content":[{"id":12,"token":",","bytes":[44],"logprob":-7.117047789506614e-05,"top_logprobs":[{"id":12,"token":",","bytes":[44],"logprob":-7.117047789506614e-05},{"id":378,"token":" time","bytes":[32,116,105,109,101],"logprob":-9.927058219909668},{"id":14,"token":".","bytes":[46],"logprob":-12.008344650268555}]}]},"finish_reason":null}],"created":1795344668,"model":"storyteller","system_fingerprint":"b1-0c1e570","object":"text_completion","id":"chatcmpl-3GkrEbNyJ3Tl99eO4MiVNKtc9DteWmze"}

data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"created":1795344668,"model":"storyteller","system_fingerprint":"b1-0c1e570","object":"text_completion","usage":{"completion_tokens":5,"prompt_tokens":4,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":3}},"id":"chatcmpl-3GkrEbNyJ3Tl99eO4MiVNKtc9DteWmze","timings":{"cache_n":3,"prompt_n":1,"prompt_ms":3.53,"prompt_per_token_ms":3.53,"prompt_per_second":283.28611898017,"predicted_n":5,"predicted_ms":9.401,"predicted_per_token_ms":2.35025,"predicted_per_second":425.4866503563451}}

data: [DONE]

"""  # noqa: E501

# The end of the text is a token without text, and the finish reason is in an event of its own.
LLAMA_CPP_TO_THE_END = rb"""
data: {"choices":[{"text":".","index":0,"logprobs":{"content":[{"id":14,"token":".","bytes":[46],"logprob":-0.000004,"top_logprobs":[{"id":14,"token":".","bytes":[46],"logprob":-0.000004}]}]},"finish_reason":null}],"created":1795346350,"model":"storyteller","system_fingerprint":"b1-0c1e570","object":"text_completion","id":"chatcmpl-vdZjMmTKVi4dpwczJvYfw6WajOnZz2Yo"}

data: {"choices":[{"text":"","index":0,"logprobs":{"content":[{"id":0,"token":"","bytes":[],"logprob":-0.09,"top_logprobs":[{"id":0,"token":"","bytes":[],"logprob":-0.09}]}]},"finish_reason":null}],"created":1795346350,"model":"storyteller","system_fingerprint":"b1-0c1e570","object":"text_completion","id":"chatcmpl-vdZjMmTKVi4dpwczJvYfw6WajOnZz2Yo"}

data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}],"created":1795346350,"model":"storyteller","system_fingerprint":"b1-0c1e570","object":"text_completion","usage":{"completion_tokens":2,"prompt_tokens":4,"total_tokens":6},"id":"chatcmpl-vdZjMmTKVi4dpwczJvYfw6WajOnZz2Yo"}

data: [DONE]

"""  # noqa: E501

VLLM = rb"""
data: {"id":"cmpl-b321006aa695aaa3","object":"text_completion","created":1795343669,"model":"storyteller","choices":[{"index":0,"text":" lived","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}]}

data: {"id":"cmpl-b321006aa695aaa3","object":"text_completion","created":1795343669,"model":"storyteller","choices":[{"index":0,"text":" in","logprobs":null,"finish_reason":"length","stop_reason":null,"prompt_token_ids":null,"token_ids":null}]}

data: {"id":"cmpl-b321006aa695aaa3","object":"text_completion","created":1795343669,"model":"storyteller","choices":[],"usage":{"prompt_tokens":4,"total_tokens":16,"completion_tokens":12},"system_fingerprint":"vllm-0.32.0-e913a02d"}

data: [DONE]

"""  # noqa: E501

# A text that may be the start of a stop string is not sent yet: the first event says nothing.
VLLM_STOPPED = rb"""
data: {"id":"cmpl-acab7caec4b76506","object":"text_completion","created":1795343643,"model":"storyteller","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}]}

data: {"id":"cmpl-acab7caec4b76506","object":"text_completion","created":1795343643,"model":"storyteller","choices":[{"index":0,"text":"h a ","logprobs":null,"finish_reason":"stop","stop_reason":"blue","prompt_token_ids":null,"token_ids":null}],"system_fingerprint":"vllm-0.32.0-e913a02d"}

data: [DONE]

"""  # noqa: E501

VLLM_BROKEN = rb"""
data: {"id":"cmpl-a952fcc92230f9ad","object":"text_completion","created":1795343706,"model":"storyteller","choices":[{"index":0,"text":" lived","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}]}

data: {"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.", "type": "InternalServerError", "param": null, "code": 500}}

data: [DONE]

"""  # noqa: E501

# No `[DONE]`, and the stop string stays in the text.
TRANSFORMERS = rb"""
data: {"id":"eb97306e-abb1-4230-b9b3-e3f9f42e0fb7","choices":[{"index":0,"text":" blue"}],"created":1795343441,"model":"storyteller@main","object":"text_completion"}

data: {"id":"eb97306e-abb1-4230-b9b3-e3f9f42e0fb7","choices":[{"finish_reason":"stop","index":0,"text":""}],"created":1795343441,"model":"storyteller@main","object":"text_completion","usage":{"completion_tokens":17,"prompt_tokens":4,"total_tokens":21}}

"""  # noqa: E501


@pytest.mark.parametrize(
    ("body", "kind", "parts", "reason", "native", "generated"),
    [
        (LLAMA_CPP, "llama.cpp", [",", ""], "length", None, 5),
        (VLLM, "vllm", [" lived", " in"], "length", None, 12),
        (VLLM_STOPPED, "vllm", ["h a "], "stop_sequence", "stop", None),
        (TRANSFORMERS, None, [" blue", ""], "stop_sequence", "stop", 17),
    ],
)
def test_a_stream(body, kind, parts, reason, native, generated):
    got = chunks(body, kind=kind, stop=["blue"], top_n_tokens=2)
    assert texts(got) == parts
    assert got[-1].generated_text == "".join(parts)
    details = got[-1].details
    assert (details.finish_reason, details.native_finish_reason) == (reason, native)
    assert details.generated_tokens == generated
    assert details.input_length == (None if generated is None else 4)


def test_log_probabilities_of_llama_cpp():
    [first, _] = chunks(LLAMA_CPP, kind="llama.cpp", top_n_tokens=2)
    assert first.token == Token(id=12, text=",", logprob=-7.117047789506614e-05)
    assert first.top_tokens == [
        first.token,
        Token(id=378, text=" time", logprob=-9.927058219909668),
    ]


def test_the_end_of_the_text_of_llama_cpp():
    [first, last] = chunks(LLAMA_CPP_TO_THE_END, kind="llama.cpp", details=True)
    assert first.token == Token(id=14, text=".", logprob=-0.000004)
    assert last.token == Token(id=0, text="", logprob=-0.09, special=True)
    assert last.generated_text == "."
    assert last.details.finish_reason == "eos_token"


def test_an_engine_that_dies():
    got, error, message, text = read(VLLM_BROKEN, kind="vllm")
    assert (texts(got), error, text) == ([" lived"], ServerError, " lived")
    assert "EngineCore encountered an issue" in message


@pytest.mark.parametrize("body", [LLAMA_CPP, VLLM, TRANSFORMERS])
def test_a_stream_that_is_cut_off_anywhere_is_incomplete(body):
    events = body.split(b"data: ")
    assert read(b"data: ".join(events[:2]))[1] is IncompleteGenerationError
