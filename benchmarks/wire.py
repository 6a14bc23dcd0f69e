"""What the server sends, encoded beforehand: the events of a TGI and of a `/v1/completions`."""

from __future__ import annotations

import json

WORDS = (" once", " upon", " a", " time", " there", " was", " some", " benchmark")
# The prompt that warms a client up: the answer is short and comes at once.
WARM_UP = "warm up"
PROMPT = "Tell me a story."
# What the bundled model is asked to go on from; each of these stories has a hundred tokens or more.
STORIES = (
    "Once upon a time",
    "One day, a fox",
    "There was a little boat.",
    "Tell me a story.",
    "Lily found a blue kite.",
    "Grandpa told Max about the moon.",
    "A small cat sat near the house.",
    "Ruby and Felix went up the hill.",
)

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"
INFO = {
    "model_id": "benchmark",
    "model_sha": None,
    "model_dtype": "torch.float16",
    "model_device_type": "cuda",
    "model_pipeline_tag": "text-generation",
    "max_concurrent_requests": 4096,
    "max_input_length": 1024,
    "max_total_tokens": 65536,
    "version": "3.3.6",
    "sha": None,
    "docker_label": None,
}


def make_text(tokens: int) -> str:
    """Return the text of this many tokens."""
    return "".join(WORDS[i % len(WORDS)] for i in range(tokens))


def encode_chunk(data: bytes) -> bytes:
    """Return the data as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_response(body: object) -> bytes:
    """Return a JSON body as a whole answer."""
    data = json.dumps(body, separators=(",", ":")).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(data) + data


def make_answer(tokens: int, *, details: bool) -> dict[str, object]:
    """Return the whole answer of a TGI."""
    payload: dict[str, object] = {"generated_text": make_text(tokens)}
    if details:
        payload["details"] = {
            "finish_reason": "length",
            "generated_tokens": tokens,
            "seed": None,
            "prefill": [],
            "tokens": [_make_token(i) for i in range(tokens)],
        }
    return payload


def make_completion(tokens: int) -> dict[str, object]:
    """Return the whole answer of a `/v1/completions`."""
    choice = {"index": 0, "text": make_text(tokens), "logprobs": None, "finish_reason": "length"}
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": tokens + 5}
    return _make_completion_event(0, 1) | {"choices": [choice], "usage": usage}


def encode_tgi_events(tokens: int) -> list[bytes]:
    """Return the events of a TGI, each as the chunk that it is sent in."""
    return [
        encode_chunk(b"data:" + _encode_json(_make_tgi_event(i, tokens)) + b"\n\n")
        for i in range(tokens)
    ]


def encode_completions_events(tokens: int) -> list[bytes]:
    """Return the events of a `/v1/completions`; the last one also has `[DONE]`."""
    events = [
        b"data: " + _encode_json(_make_completion_event(i, tokens)) + b"\n\n" for i in range(tokens)
    ]
    events[-1] += b"data: [DONE]\n\n"
    return [encode_chunk(event) for event in events]


def _make_tgi_event(index: int, tokens: int) -> dict[str, object]:
    is_last = index == tokens - 1
    return {
        "index": index + 1,
        "token": _make_token(index),
        "generated_text": make_text(tokens) if is_last else None,
        "details": None,
    }


def _make_token(index: int) -> dict[str, object]:
    return {
        "id": 100 + index % len(WORDS),
        "text": WORDS[index % len(WORDS)],
        "logprob": -0.31787109,
        "special": False,
    }


def _make_completion_event(index: int, tokens: int) -> dict[str, object]:
    choice = {
        "index": 0,
        "text": WORDS[index % len(WORDS)],
        "logprobs": None,
        "finish_reason": "length" if index == tokens - 1 else None,
    }
    return {
        "id": "",
        "object": "text_completion",
        "created": 1760000000,
        "model": "benchmark",
        "system_fingerprint": "3.3.6-native",
        "choices": [choice],
    }


def _encode_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
