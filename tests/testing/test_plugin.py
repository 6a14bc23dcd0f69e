"""The fixture, as a user's own tests have it: pytest in a process of its own."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_pytest(tmp_path):
    def run(code, *arguments):
        (tmp_path / "test_of_a_user.py").write_text(code, encoding="utf-8")
        options = [
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-W",
            "error",
            "--strict-config",
            *arguments,
        ]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options, "test_of_a_user.py"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        )  # fmt: skip

    return run


IMPORTS = """
import urllib.request
from hfgen.testing import ScriptedServer, StartServer, answer, loading, status, tokens

def ask(server):
    with urllib.request.urlopen(server.url, b"{}") as response:
        return response.read()
"""


def test_the_fixture_starts_servers(run_pytest):
    process = run_pytest(
        IMPORTS
        + """
from hfgen import Client

def test_it_waits(scripted_server: StartServer):
    server = scripted_server(status(503, headers={"Retry-After": "0"}), tokens("Once", " upon"))
    with Client(api_url=server.url) as client:
        assert list(client.stream_tokens("x")) == ["Once", " upon"]
    assert server.requests[0].json["inputs"] == "x"

def test_several(scripted_server):
    one, two = scripted_server(status(200, "1")), scripted_server(status(200, "2"))
    assert ask(one) + ask(two) == b"12"
"""
    )
    assert "2 passed" in process.stdout, process.stdout


def test_a_strict_script_fails_the_test(run_pytest):
    process = run_pytest(
        IMPORTS
        + """
import urllib.error

def test_it(scripted_server):
    server = scripted_server(status(200), strict=True)
    ask(server)
    try:
        ask(server)
    except urllib.error.HTTPError as error:
        error.close()
"""
    )
    assert "1 passed, 1 error" in process.stdout, process.stdout
    assert "the script has 1 answers" in process.stdout


def test_pytest_fail_in_a_function_of_the_script_fails_the_test(run_pytest):
    process = run_pytest(
        IMPORTS
        + """
import urllib.error, pytest

def answer(request):
    pytest.fail("a wrong request")

def test_it(scripted_server):
    server = scripted_server(answer)
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server)
    caught.value.close()

def test_that_goes_on():
    with ScriptedServer(answer) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(server)
        caught.value.close()
"""
    )
    assert "1 failed, 1 passed, 1 error" in process.stdout, process.stdout
    assert "the script raised a wrong request" in process.stdout


def test_after_a_failed_test_no_thread_is_left(run_pytest):
    process = run_pytest(
        IMPORTS
        + """
import http.client, socket, threading

def test_it(scripted_server):
    server = scripted_server(tokens("a"))
    connection = http.client.HTTPConnection(server.url.partition("//")[2])
    connection.request("POST", "/")
    connection.getresponse().read()
    connection.close()
    assert False, "of its own"

def test_after_it():
    assert threading.active_count() == 1
"""
    )
    assert "1 failed, 1 passed" in process.stdout, process.stdout
    assert "of its own" in process.stdout


def test_a_users_fixture_of_the_same_name_is_used(run_pytest):
    process = run_pytest(
        """
import pytest, sys

@pytest.fixture
def scripted_server():
    return "mine"

def test_it(scripted_server):
    assert scripted_server == "mine"
    assert not {"aiohttp", "urllib3", "numpy"} & set(sys.modules)
"""
    )
    assert "1 passed" in process.stdout, process.stdout


def test_the_fixture_is_listed(run_pytest):
    process = run_pytest("", "--fixtures")
    assert "scripted_server" in process.stdout
    assert "Start scripted servers" in process.stdout
