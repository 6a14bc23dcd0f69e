"""Events, and the errors in them."""

import json

import pytest

from hfgen._core import server_errors
from hfgen._core.errors import OverloadedError, StatusError
from hfgen._core.sse import EventDecoder
from hfgen.testing import chunk, comment, done, event, fault, overloaded

SERVERS = ["hosted", "llama.cpp", "openai", "sglang", "tgi", "tgi-v1", "vllm", "vllm-old"]


def read(data):
    decoder = EventDecoder()
    return [*decoder.feed(data), *decoder.flush()]


def test_an_event_carries_json():
    [received] = read(event({"é\u2028": 1}))
    assert json.loads(received.data) == {"é\u2028": 1}
    assert "é\u2028".encode() in event({"é\u2028": 1})


def test_an_event_carries_text_of_any_lines():
    [received] = read(event("a\nb\n", name="ping"))
    assert (received.name, received.data) == (b"ping", b"a\nb\n")


def test_done_is_an_event():
    assert done() == event("[DONE]") == b"data: [DONE]\n\n"


@pytest.mark.parametrize("text", ["", "keepalive"])
def test_a_comment_is_no_event(text):
    assert read(comment(text)) == []
    assert comment(text) == (b": keepalive\n\n" if text else b":\n\n")


def test_a_chunk_has_the_fields_of_tgi():
    assert chunk("a", index=3, special=True, generated_text="b", details={"seed": None}) == {
        "index": 3,
        "token": {"id": chunk("a")["token"]["id"], "text": "a", "logprob": -0.5, "special": True},
        "generated_text": "b",
        "details": {"seed": None},
    }


@pytest.mark.parametrize("server", SERVERS)
def test_hfgen_reads_the_faults_of_every_server(server):
    found = server_errors.parse_json_error(fault("oh no", server=server))
    assert found.message == "oh no"
    assert isinstance(server_errors.make_status_error(found), StatusError)


def test_the_shapes_of_faults():
    assert fault("m") == {"error": "m", "error_type": "generation"}
    assert fault("m", kind="validation") == {"error": "m", "error_type": "validation"}
    assert fault("m", server="hosted") == {"error": ["m"]}
    assert fault("m", server="tgi-v1") == {"error": {"message": "m", "http_status_code": 422}}
    vllm = {"message": "m", "type": "t", "param": None, "code": 400}
    assert fault("m", server="vllm", kind="t", code=400) == {"error": vllm}
    assert fault("m", server="vllm-old", kind="t", code=400) == {"object": "error", **vllm}
    assert fault("m", server="sglang") == {
        "error": {
            "object": "error",
            "message": "m",
            "type": "SERVICE_UNAVAILABLE",
            "param": None,
            "code": 503,
        }
    }
    assert fault("m", server="llama.cpp") == {
        "error": {"code": 503, "message": "m", "type": "unavailable_error"}
    }


def test_an_unknown_server():
    with pytest.raises(ValueError, match=r"llama\.cpp, openai"):
        fault("m", server="gpt")


@pytest.mark.parametrize("server", ["tgi", "sglang"])
def test_overload_in_a_stream(server):
    scripted = overloaded(in_band=True, server=server)
    first, *rest = read(scripted.content)
    assert scripted.status == 200
    found = server_errors.parse_json_error(json.loads(first.data))
    assert isinstance(server_errors.make_status_error(found), OverloadedError)
    assert [received.data for received in rest] == ([] if server == "tgi" else [b"[DONE]"])
