"""How a scripted server answers the questions which API it has."""

import httpx
import pytest

from hfgen.testing import ScriptedServer, as_json


@pytest.mark.parametrize(
    ("speaks", "owner"), [("vllm", "vllm"), ("sglang", "sglang"), ("llama.cpp", "llamacpp")]
)
def test_other_servers_have_models_and_no_info(speaks, owner):
    with ScriptedServer(as_json({}), speaks=speaks) as server:
        assert httpx.get(f"{server.url}/info").status_code == 404
        [model] = httpx.get(f"{server.url}/v1/models?x=1").json()["data"]
        assert model["owned_by"] == owner
        assert server.requests == []
        httpx.post(f"{server.url}/info")
        httpx.get(server.url)
        assert [request.method for request in server.requests] == ["POST", "GET"]


def test_a_tgi_has_info():
    with ScriptedServer(as_json({}), strict=True) as server:
        assert httpx.get(f"{server.url}/info").json()["model_id"] == "scripted"
        [model] = httpx.get(f"{server.url}/v1/models").json()["data"]
        assert model["owned_by"] == model["id"]
        server.check()


def test_without_speaks_the_script_answers():
    with ScriptedServer(as_json({"a": 1}), speaks=None) as server:
        assert httpx.get(f"{server.url}/info").json() == {"a": 1}
        assert len(server.requests) == 1


def test_an_unknown_api():
    with pytest.raises(ValueError, match=r"vllm, .* not 'openai'"):
        ScriptedServer(as_json({}), speaks="openai")
