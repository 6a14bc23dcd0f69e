"""Streams of OpenAI-compatible completions: how they are written, and read in every way."""

from helpers.byte_cuts import same_every_way
from hfgen._core.body import EventBody, select_chunk
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.server_kind import Server
from hfgen.testing import event

USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


def piece(text="", finish_reason=None, *, index=0, usage=None, **fields):
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
    payload = {"id": "c", "object": "text_completion", "choices": [{**choice, **fields}]}
    return event(payload if usage is None else {**payload, "usage": usage})


def only_usage(**usage):
    return event({"choices": [], "usage": {**USAGE, **usage}})


def outcome(dialect, pieces):
    decoder, chunks = EventBody(dialect, select_chunk), []
    try:
        for data in pieces:
            chunks.extend(decoder.feed(data))
        chunks.extend(decoder.finish())
    except Exception as error:  # noqa: BLE001 - compared below
        return chunks, type(error), str(error), getattr(error, "text", None)
    return chunks, None, None, None


def read(*steps, kind=None, inputs="Once", **parameters):
    dialect = Completions({"inputs": inputs, "parameters": parameters}, Server(kind))
    return same_every_way(b"".join(steps), lambda pieces: outcome(dialect, pieces))


def chunks(*steps, **options):
    found, error, message, _ = read(*steps, **options)
    assert error is None, message
    return found


def texts(stream_chunks):
    return [chunk.token.text for chunk in stream_chunks]
