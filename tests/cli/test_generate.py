"""`hfgen generate`, in a process of its own."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.scripted_answers import as_json, events, token
from hfgen import ModelLoadingError
from hfgen._cli.terminal import RetryNotice
from hfgen.testing import Cut, Hang, Pause, ScriptedServer, event, generated

STORY = events(
    token("Once"), token(" upon", index=2), token("</s>", special=True, last="Once upon")
)


def test_streams_the_text(hfgen):
    with ScriptedServer(STORY) as server:
        done = hfgen("generate", "Hi", "--api-url", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Once upon\n", "")
    body = server.requests[0].json
    parameters = {"return_full_text": False, "do_sample": False}
    assert body == {"inputs": "Hi", "parameters": parameters, "stream": True}


def test_a_temperature_of_1_draws_tokens(hfgen):
    with ScriptedServer(STORY) as server:
        hfgen("generate", "Hi", "--temperature", "1.0", "--api-url", server.url)
    parameters = server.requests[0].json["parameters"]
    assert (parameters["temperature"], parameters["do_sample"]) == (1.0, True)


def test_shows_each_token_as_it_comes(hfgen):
    with ScriptedServer(events(token("Once"), Hang())) as server:
        process = hfgen.start("generate", "Hi", "--api-url", server.url)
        assert process.stdout.read(4) == "Once"


def test_passes_every_parameter_on(hfgen):
    flags = {
        "max_new_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "typical_p": 0.8,
        "repetition_penalty": 1.1,
        "frequency_penalty": 0.1,
        "seed": 42,
        "truncate": 9,
        "best_of": 2,
        "top_n_tokens": 4,
    }
    arguments = [part for n, v in flags.items() for part in (f"--{n.replace('_', '-')}", str(v))]
    switches = ["--do-sample", "--return-full-text", "--watermark"]
    with ScriptedServer(as_json([{"generated_text": "Yes"}])) as server:
        done = hfgen(
            "generate", "Hi", "--no-stream", "--stop", "a", "--stop", "b", *arguments, *switches,
            "--api-url", server.url, "--model", "owner/name", "--api-key", "k",
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "Yes\n")
    assert server.requests[0].json == {
        "inputs": "Hi",
        "model": "owner/name",
        "stream": False,
        "parameters": {
            **flags,
            "do_sample": True,
            "return_full_text": True,
            "watermark": True,
            "stop": ["a", "b"],
        },
    }
    assert server.requests[0].headers["authorization"] == "Bearer k"


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_reads_the_prompt_from_standard_input(hfgen, arguments):
    with ScriptedServer(STORY) as server:
        hfgen("generate", *arguments, "--api-url", server.url, text="two\nlines\n")
    assert server.requests[0].json["inputs"] == "two\nlines"


def test_json_is_one_object_a_line(hfgen):
    pretty = json.dumps(token("b", last="ab", index=2), indent=1).replace("\n", "\ndata: ")
    with ScriptedServer(events(token("a"), f"data: {pretty}\n\n".encode())) as server:
        done = hfgen("generate", "Hi", "--json", "--api-url", server.url)
    chunks = [json.loads(line) for line in done.stdout.splitlines()]
    assert chunks == [token("a"), token("b", last="ab", index=2)]


def test_details_go_to_standard_error(hfgen, local_server):
    done = hfgen(
        "generate", "Once upon a time", "--details", "--max-new-tokens", "5", "--seed", "7",
        "--temperature", "0.7", "--api-url", local_server.url,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.startswith("5 tokens in ")
    assert "tokens/s, time to first token 0." in done.stderr
    assert done.stderr.endswith("finish_reason length, seed 7\n")
    assert "tokens in" not in done.stdout


def test_local_brings_its_own_server(hfgen):
    arguments = ("generate", "--local", "Once upon a time", "--max-new-tokens", "8")
    first, second = hfgen(*arguments), hfgen(*arguments, "--no-stream")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    assert first.stdout.strip()


def test_local_with_a_directory_that_is_no_model(hfgen, tmp_path):
    done = hfgen("generate", "--local", "--model", str(tmp_path), "Hi")
    assert done.returncode == 1
    assert done.stderr.startswith("hfgen: error: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_ends_the_generation_and_exits_with_130(hfgen):
    with ScriptedServer(events(token("Once"), Hang())) as server:
        process = hfgen.start("generate", "Hi", "--api-url", server.url)
        assert process.stdout.read(4) == "Once"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (130, "\n", "")
        assert server.requests[0].hung_up.wait(10)


def test_a_closed_pipe_ends_it_quietly(hfgen):
    tokens = [step for n in range(50) for step in (token(f" {n}" * 1000), Pause(0.01))]
    with ScriptedServer(events(*tokens, token("", last="")), events(Hang())) as server:
        process = hfgen.start("generate", "Hi", "--api-url", server.url)
        process.stdout.read(4)
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""
        assert server.requests[0].hung_up.wait(10)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--api-url", "http://127.0.0.1:9"], "cannot connect to http://127.0.0.1:9"),
        (["--api-url", "nonsense"], "must start with http:// or https://"),
        ([], "needs a `model`"),
        (["--temperature", "nan", "--api-url", "http://127.0.0.1:9"], "finite number"),
        (["--timeout", "0", "--api-url", "http://127.0.0.1:9"], "timeout must be"),
    ],
)
def test_errors_are_one_line_and_exit_1(hfgen, arguments, says):
    done = hfgen("generate", "Hi", "--max-retries", "0", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hfgen: error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_error_after_some_text_keeps_the_text(hfgen):
    with ScriptedServer(events(token("Once"))) as server:
        done = hfgen("generate", "Hi", "--api-url", server.url)
    assert (done.returncode, done.stdout) == (1, "Once\n")
    assert "ended before the last event" in done.stderr


def test_debug_shows_the_traceback_but_not_the_key(hfgen):
    with ScriptedServer(as_json({"error": "no", "error_type": "validation"}, 422)) as server:
        done = hfgen("generate", "Hi", "--debug", "--api-key", "hf_secret", "--api-url", server.url)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FetchRequest" in done.stderr
    assert "hf_secret" not in done.stderr


def test_a_wrong_command_line_exits_with_2(hfgen):
    assert hfgen("generate", "Hi", "--max-new-tokens", "many").returncode == 2


def test_alone_it_shows_its_commands(hfgen):
    done = hfgen()
    assert (done.returncode, done.stdout) == (2, "")
    for command in ("generate", "bulk", "serve", "info"):
        assert f"\n    {command} " in done.stderr


@pytest.mark.parametrize("command", ["generate", "bulk", "serve", "info"])
def test_a_wrong_argument_shows_the_usage_of_its_command(hfgen, command):
    needed = {"bulk": ["in.jsonl", "-o", "out.jsonl"], "info": ["http://a"]}.get(command, [])
    done = hfgen(command, *needed, "--max-newtokens", "5")
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: hfgen {command} ")
    assert "unrecognized arguments: --max-newtokens" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "answer", "hint"),
    [
        ([], as_json({}, 401), "pass --api-key, or set HFGEN_API_KEY"),
        ([], as_json({"error": "Model m is currently loading", "estimated_time": 9.0}, 503),
         "--wait-for-model waits"),
        ([], as_json({"error": {"message": "Loading model", "code": 503}}, 503),
         "--wait-for-model waits"),
        (["--api-url", "host/path"], None, "error: --api-url must start"),
        (["--api-url", "http://a/models/"], None, "pass --model owner/name, or set HFGEN_MODEL"),
        (["--timeout", "-1"], None, "error: --timeout must be"),
        (["--provider", "together", "--model", "m", "--dialect", "tgi"], None, "does not speak"),
    ],
)  # fmt: skip
def test_an_error_names_arguments_of_the_command(hfgen, serve, arguments, answer, hint):
    url = ["--api-url", serve(answer).url] if answer is not None else []
    done = hfgen("generate", "Hi", *url, *arguments, "--max-retries", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert hint in done.stderr
    assert not re.search(r"\w=", done.stderr)


def test_words_of_a_server_are_not_changed(hfgen, serve):
    error = as_json({"error": "seed=5 is wrong, max_new_tokens must be 3", "error_type": "x"}, 422)
    done = hfgen("generate", "Hi", "--api-url", serve(error).url)
    assert "seed=5 is wrong, max_new_tokens must be 3" in done.stderr


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "\\xe9\\U0001f642\n"), ("latin-1", "é\\U0001f642\n")]
)
def test_text_that_the_terminal_cannot_show_is_escaped(hfgen, encoding, shown):
    with ScriptedServer(events(event(token("é🙂", last="é🙂")))) as server:
        done = hfgen(
            "generate", "Hi", "--api-url", server.url,
            encoding=encoding, env={"PYTHONIOENCODING": encoding},
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, shown)


@pytest.mark.parametrize("arguments", [[], ["--no-stream"]])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_json_in_every_encoding(hfgen, arguments, encoding):
    text = "é🙂\u2028"
    script = generated(text) if arguments else events(event(token(text, last=text)))
    with ScriptedServer(script) as server:
        done = hfgen(
            "generate", "Hi", "--json", *arguments, "--api-url", server.url,
            env={"PYTHONIOENCODING": encoding},
        )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["generated_text"] == text


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbf\xc3\xa9\r\nb\n", "é\nb\n"], ids=["byte order mark", "none"]
)
def test_a_prompt_on_standard_input(hfgen, encoding, data):
    data = data if isinstance(data, bytes) else data.encode(encoding)
    with ScriptedServer(STORY) as server:
        done = hfgen(
            "generate", "--api-url", server.url,
            text=data, encoding=None, env={"PYTHONIOENCODING": encoding},
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"Once upon\n")
    assert server.request().json["inputs"] == "é\nb"


def test_a_prompt_that_is_no_text(hfgen):
    done = hfgen("generate", text=b"\xff", encoding=None, env={"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 1
    assert b"standard input is not text" in done.stderr


def test_tells_of_each_wait(hfgen):
    busy = as_json({"error": "busy"}, 503, retry_after="0")
    with ScriptedServer(busy, STORY) as server:
        done = hfgen("generate", "Hi", "--api-url", server.url)
    assert (done.returncode, done.stdout) == (0, "Once upon\n")
    assert (
        done.stderr
        == "hfgen: attempt 1 failed (503 Service Unavailable: busy), again in a moment\n"
    )


def test_waits_for_a_model(hfgen):
    loading = as_json({"error": "Model m is currently loading", "estimated_time": 0.5}, 503)
    with ScriptedServer(loading, STORY) as server:
        done = hfgen(
            "generate", "Hi", "--api-url", server.url, "--wait-for-model", "--max-retries", "0"
        )
    assert (done.returncode, done.stdout) == (0, "Once upon\n")
    assert done.stderr == "hfgen: model is loading, about 500 ms\n"


def test_picks_a_stream_up(hfgen):
    broken = events(token("Once"), Cut())
    with ScriptedServer(broken, events(token(" upon", last=" upon"))) as server:
        done = hfgen("generate", "Hi", "--api-url", server.url, "--resume")
    assert (done.returncode, done.stdout) == (0, "Once upon\n")


def test_counts_down_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with RetryNotice() as notice:
        error = ModelLoadingError("loading", status=503, estimated_time=20.0)
        notice.show(1, 10.0, error)
        time.sleep(0.1)
        notice.show(2, 10.0, error)
        notice.clear()
    shown = capsys.readouterr().err
    assert shown.count("model is loading, about 20 s") == 2
    assert shown.endswith("\r\x1b[2K")


def test_a_full_disk_is_one_line(hfgen):
    with ScriptedServer(STORY) as server, Path("/dev/full").open("w") as full:
        process = hfgen.start("generate", "Hi", "--api-url", server.url, stdout=full)
        assert process.wait(timeout=30) == 1
        assert process.stderr.read() == "hfgen: error: cannot write: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_closed_standard_streams_are_one_line(hfgen, closed):
    command = f"{sys.executable} -m hfgen generate --api-url http://127.0.0.1:9 {closed}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("hfgen: error: ")
    assert done.stderr.count("\n") == 1


def test_a_second_ctrl_c_ends_it_at_once(hfgen):
    with ScriptedServer(events(token("Once"), Hang())) as server:
        process = hfgen.start("generate", "Hi", "--api-url", server.url)
        assert process.stdout.read(4) == "Once"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == ""


def test_ctrl_c_that_is_ignored_stays_ignored(hfgen):
    with ScriptedServer(events(token("Once"), Pause(0.5), token("", last="Once"))) as server:
        process = hfgen.start_ignoring(signal.SIGINT, "generate", "Hi", "--api-url", server.url)
        assert process.stdout.read(4) == "Once"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "\n", "")


def test_local_and_a_url_exclude_each_other(hfgen):
    done = hfgen("generate", "Hi", "--local", "--api-url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "not allowed with" in done.stderr


def test_reads_the_key_from_a_file(hfgen, tmp_path):
    (tmp_path / "key").write_text("secret\n")
    with ScriptedServer(STORY) as server:
        done = hfgen("generate", "Hi", "--api-url", server.url, "--api-key-file", tmp_path / "key")
    assert (done.returncode, done.stderr) == (0, "")
    assert server.requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read"),
        (b"", "printable ASCII"),
        (b"two\nkeys", "printable"),
        (b"\xff", "text"),
    ],
)
def test_a_file_without_a_key_is_named_and_not_shown(hfgen, tmp_path, content, reason):
    key_file = tmp_path / "key"
    if content is not None:
        key_file.write_bytes(content)
    done = hfgen("generate", "Hi", "--api-key-file", key_file)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "--api-key-file" in last
    assert str(key_file) in last
    assert reason in last
    assert "two" not in last


@pytest.mark.parametrize("arguments", [[], ["--no-stream"]])
def test_several_texts_come_one_after_the_other(hfgen, arguments):
    choices = [{"index": n, "text": f"text {n}", "finish_reason": "length"} for n in range(3)]
    with ScriptedServer(as_json({"choices": choices}), speaks="completions") as server:
        done = hfgen(
            "generate", "Once", "--n", "3", "--temperature", "1", "--model", "m",
            "--dialect", "completions", "--api-url", f"{server.url}/v1/completions", *arguments,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "text 0\ntext 1\ntext 2\n"
    assert server.requests[-1].json["n"] == 3
