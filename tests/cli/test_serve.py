"""`hfgen serve`, in a process of its own."""

import dataclasses
import json
import re
import resource
import signal
import socket
import sys
import urllib.error
import urllib.request

import pytest

from hfgen import AuthenticationError, Client
from hfgen._cli.serve import LIMITS, TIME_LIMITS
from hfgen.server import ServerOptions

QUIET = ("--log-level", "warning")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_told_to_stop(hfgen, number):
    process = hfgen.start("serve", "--port", "0", "--api-key", "secret", *QUIET)
    line = process.stderr.readline()
    assert line.startswith("serving bundled on http://127.0.0.1:")
    assert line.endswith(" (Ctrl-C stops it)\n")
    url = line.split()[3]
    with Client(api_url=url) as client:
        answers = client.run(
            {"inputs": "Once", "parameters": {"max_new_tokens": 3}}, api_key="secret"
        )
        assert len(answers) == 1
        with pytest.raises(AuthenticationError):
            client.run("Once", api_key="wrong")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_in_the_background_sigint_is_ignored_and_sigterm_stops_it(hfgen):
    process = hfgen.start_ignoring(signal.SIGINT, "serve", "--port", "0", *QUIET)
    url = process.stderr.readline().split()[3]
    process.send_signal(signal.SIGINT)
    with Client(api_url=url) as client:
        assert client.run({"inputs": "Once", "parameters": {"max_new_tokens": 3}})
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken(hfgen, local_server):
    done = hfgen("serve", "--port", local_server.url.rpartition(":")[2])
    assert done.returncode == 1
    assert done.stderr.startswith("hfgen: error: cannot listen on 127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_a_directory_that_is_no_model(hfgen, tmp_path):
    done = hfgen("serve", "--model", str(tmp_path))
    assert done.returncode == 1
    assert "config.json" in done.stderr
    assert done.stderr.count("\n") == 1


def test_only_the_origins_that_it_is_told_of_may_ask(hfgen):
    origin = "http://a.example"
    process = hfgen.start("serve", "--port", "0", "--cors-allow-origin", origin, "--grace", "0")
    url = process.stderr.readline().split()[3]
    for asking, allowed in [(origin, origin), ("http://b.example", None)]:
        request = urllib.request.Request(f"{url}/health", headers={"Origin": asking})
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.headers["access-control-allow-origin"] == allowed
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_the_limits_have_the_defaults_of_the_options():
    defaults = {field.name: field.default for field in dataclasses.fields(ServerOptions)}
    for name, (default, _) in {**LIMITS, **TIME_LIMITS}.items():
        assert default == defaults[name]


def test_limits_reach_the_server(hfgen):
    process = hfgen.start("serve", "--port", "0", "--max-total-tokens", "20", "--max-best-of", "1")
    with Client(api_url=process.stderr.readline().split()[3]) as client:
        info = client.info().to_dict()
    assert (info["max_total_tokens"], info["max_input_tokens"], info["max_best_of"]) == (20, 19, 1)


def test_a_limit_out_of_its_range(hfgen):
    done = hfgen("serve", "--idle-timeout", "0")
    assert done.returncode == 1
    assert re.fullmatch(r"hfgen: error: \S*idle.timeout must be more than 0 seconds\n", done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_the_limit_of_open_files_is_raised_and_survived(hfgen):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        process = hfgen.start("serve", "--port", "0", *QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    url = process.stderr.readline().split()[3]
    raised, _ = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    assert raised == (1024 + 64 if hard == resource.RLIM_INFINITY else min(1024 + 64, hard))
    # From here on, the process can open a few files only.
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (40, hard))
    host, port = url.removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(60)]
    with Client(api_url=url, max_retries=0) as client:
        assert client.run({"inputs": "Once", "parameters": {"max_new_tokens": 3}})
    for connection in idle:
        connection.close()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", "")


def ask(url, **headers):
    body = json.dumps({"inputs": "a", "parameters": {"max_new_tokens": 1}}).encode()
    headers |= {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/generate", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_each_request_is_a_line(hfgen):
    process = hfgen.start("serve", "--port", "0")
    url = process.stderr.readline().split()[3]
    assert ask(url, **{"x-request-id": "abc-1"}) == 200
    process.send_signal(signal.SIGTERM)
    (line,) = process.communicate(timeout=30)[1].splitlines()
    assert re.fullmatch(r"\S+ INFO 127\.0\.0\.1 POST /generate 200 \d+\.\d{3} s, id abc-1", line)


def test_the_log_as_json(hfgen):
    process = hfgen.start("serve", "--port", "0", "--log-format", "json", "--host", "0.0.0.0")
    lines = [json.loads(process.stderr.readline()) for _ in range(2)]
    port = lines[1]["url"].rpartition(":")[2]
    assert ask(f"http://127.0.0.1:{port}") == 200
    process.send_signal(signal.SIGTERM)
    lines += map(json.loads, process.communicate(timeout=30)[1].splitlines())
    assert [line["level"] for line in lines] == ["warning", "info", "info"]
    assert "asks for no key" in lines[0]["message"]
    assert (lines[2]["path"], lines[2]["status"]) == ("/generate", 200)


@pytest.mark.parametrize(
    ("options", "is_warned"),
    [
        (["--host", "0.0.0.0"], True),
        (["--host", "0.0.0.0", "--api-key", "k"], False),
        (["--host", "127.0.0.2"], False),
    ],
)
def test_a_server_that_others_reach_without_a_key_is_warned_about(hfgen, options, is_warned):
    process = hfgen.start("serve", "--port", "0", "--grace", "0", *options)
    lines = []
    while not (lines and lines[-1].startswith("serving ")):
        lines.append(process.stderr.readline())
    assert [line for line in lines if "WARNING anyone who can reach http://0.0.0.0:" in line] == (
        lines[:1] if is_warned else []
    )


@pytest.mark.parametrize("source", ["file", "environment"])
def test_a_key_that_the_list_of_processes_does_not_show(hfgen, tmp_path, source):
    file = tmp_path / "key"
    file.write_text("secret\n")
    process = (
        hfgen.start("serve", "--port", "0", "--api-key-file", str(file))
        if source == "file"
        else hfgen.start("serve", "--port", "0", env={"HFGEN_API_KEY": "secret"})
    )
    url = process.stderr.readline().split()[3]
    if source == "environment":
        line = process.stderr.readline()
        assert line.endswith(" INFO clients must send the key of HFGEN_API_KEY\n")
    assert ask(url) == 401
    assert ask(url, authorization="Bearer secret") == 200
    process.send_signal(signal.SIGTERM)
    assert "secret" not in process.communicate(timeout=30)[1]


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot read"), (b"", ""), (b"\xff", "is not text")]
)
def test_a_file_without_a_key(hfgen, tmp_path, content, words):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    done = hfgen("serve", "--api-key-file", str(file))
    assert done.returncode == 2
    assert "argument --api-key-file" in done.stderr
    assert words in done.stderr
