"""`hfgen info`, in a process of its own."""

import json

import pytest

from helpers.scripted_answers import answer, as_json
from hfgen.testing import ScriptedServer


@pytest.mark.parametrize("path", ["", "/", "/generate", "/generate_stream", "/v1"])
def test_shows_what_a_tgi_server_says(hfgen, local_server, path):
    done = hfgen("info", local_server.url + path)
    assert (done.returncode, done.stderr) == (0, "")
    facts = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert facts["max_concurrent_requests"] == "128"


def test_json(hfgen, local_server):
    done = hfgen("info", local_server.url, "--json")
    assert json.loads(done.stdout)["max_best_of"] == 2


def test_asks_for_the_models_where_there_is_no_info(hfgen):
    models = {"object": "list", "data": [{"id": "m"}]}
    script = answer(status=404, framing="length"), as_json(models)
    with ScriptedServer(*script, speaks=None) as server:
        done = hfgen("info", server.url, "--json")
    info = json.loads(done.stdout)
    assert info["models"] == [{"id": "m"}]
    assert info["model_id"] == "m"
    assert [r.path for r in server.requests] == ["/info", "/v1/models"]
    assert server.requests[0].method == "GET"


def test_in_an_encoding_that_is_not_utf8(hfgen):
    models = as_json({"object": "list", "data": [{"id": "é"}]})
    with ScriptedServer(answer(status=404, framing="length"), models, speaks=None) as server:
        done = hfgen("info", server.url, "--json", env={"PYTHONIOENCODING": "ascii"})
    assert json.loads(done.stdout)["model_id"] == "é"
    with ScriptedServer(answer(status=404, framing="length"), models, speaks=None) as server:
        done = hfgen("info", server.url, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xe9" in done.stdout


def test_a_page_is_no_info(hfgen):
    page = answer(b"<html>hello</html>", content_type="text/html")
    with ScriptedServer(page, speaks=None) as server:
        done = hfgen("info", server.url)
    assert done.returncode == 1
    assert "neither /info nor /v1/models" in done.stderr


def test_reads_the_key_from_a_file_or_the_environment(hfgen, tmp_path):
    key_file = tmp_path / "key"
    key_file.write_text("secret\n")
    with ScriptedServer(as_json({"model_id": "m"}), speaks=None) as server:
        for options in ({}, {"env": {"HFGEN_API_KEY": "ambient"}}):
            arguments = [] if options else ["--api-key-file", str(key_file)]
            assert hfgen("info", server.url, *arguments, **options).returncode == 0
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer secret", "Bearer ambient"]
