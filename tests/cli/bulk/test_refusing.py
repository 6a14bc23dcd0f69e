"""What `hfgen bulk` does not begin with, or go on with."""

import pytest

from helpers.bulk_rows import answer_prompt, check, prompts
from hfgen.testing import ScriptedServer


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: folder.write(prompts(4)), "the input is another one"),
        (lambda _: ["--max-new-tokens", "7"], "parameters.max_new_tokens was not given, is 7"),
        (lambda _: ["--model", "other/model"], 'model was not given, is "other/model"'),
        (lambda _: ["--template", "{id}"], "template was not given"),
    ],
)
def test_another_input_and_other_parameters_are_refused(folder, change, says):
    folder.write(prompts(3))
    with ScriptedServer(answer_prompt) as server:
        assert folder.run(server.url).returncode == 0
        before = folder.output.read_bytes()
        more = change(folder) or []
        refused = folder.run(server.url, *more)
        assert refused.returncode == 1
        assert says in refused.stderr
        assert "--restart" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert folder.output.read_bytes() == before
        assert folder.run(server.url, *more, "--restart").returncode == 0
    assert len(folder.rows()) == (3 if more else 4)


def test_another_model_of_the_environment_is_refused(folder):
    folder.write(prompts(3))
    with ScriptedServer(answer_prompt) as server:
        assert folder.run(server.url, env={"HFGEN_MODEL": "owner/one"}).returncode == 0
        assert {request.json["model"] for request in server.requests} == {"owner/one"}
        refused = folder.run(server.url, env={"HFGEN_MODEL": "owner/two"})
        assert refused.returncode == 1
        assert 'model was "owner/one", is "owner/two"' in refused.stderr
        assert folder.run(server.url, "--model", "owner/one").returncode == 0


def test_another_file_is_not_overwritten(folder):
    folder.write(prompts(2))
    folder.output.write_text("precious\n")
    with ScriptedServer(answer_prompt) as server:
        refused = folder.run(server.url)
        assert (refused.returncode, folder.output.read_text()) == (1, "precious\n")
        assert "--restart" in refused.stderr
        assert folder.run(server.url, "--restart").returncode == 0
    check(folder.rows(), 2)


def test_two_processes_do_not_write_one_output(folder):
    folder.write(prompts(500))
    with ScriptedServer(lambda request: answer_prompt(request, after=0.05)) as server:
        first = folder.start(server.url, "--concurrency", "2")
        server.request(0, timeout=30)
        second = folder.run(server.url, "--concurrency", "2")
        assert second.returncode == 1
        assert "another process is at work on this output" in second.stderr
        first.kill()
        first.wait()
        done = folder.run(server.url, "--concurrency", "64")
    assert done.returncode == 0, done.stderr
    check(folder.rows(), 500)


# More than is read ahead.
_MANY = [{"id": number, "inputs": f"prompt {number} {'x' * 400}"} for number in range(2000)]


@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_an_input_that_is_changed_during_the_run(folder, change):
    folder.write(_MANY)
    before = folder.input.read_bytes()
    with ScriptedServer(lambda request: answer_prompt(request, after=0.02)) as server:
        process = folder.start(server.url, "--concurrency", "8")
        server.request(3, timeout=30)
        folder.input.write_bytes(before[:200_000] if change == "shorter" else before * 2)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1, stderr
        assert "in.jsonl: it was changed during the run" in stderr
        assert "of 2,000 rows done" in stderr
        folder.input.write_bytes(before)
        done = folder.run(server.url, "--concurrency", "64")
    assert done.returncode == 0, done.stderr
    check(folder.rows(), 2000)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.state"])
def test_an_output_that_is_moved_during_the_run(folder, name):
    folder.write(prompts(400))
    path = folder.path / name
    with ScriptedServer(lambda request: answer_prompt(request, after=0.05)) as server:
        process = folder.start(server.url, "--concurrency", "4")
        server.request(9, timeout=30)
        path.rename(folder.path / "elsewhere")
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1, stderr
        assert f"{path} was removed, moved or replaced while the run was writing it" in stderr
        assert not path.exists()
        (folder.path / "elsewhere").rename(path)
        done = folder.run(server.url, "--concurrency", "64")
    assert done.returncode == 0, done.stderr
    check(folder.rows(), 400)


@pytest.mark.parametrize("ending", ["rewrite", "new", "state-journal", "state-wal"])
def test_an_input_beside_the_output_stays(folder, hfgen, ending):
    folder.write(prompts(5))
    source = folder.path / f"out.jsonl.{ending}"
    folder.input.rename(source)
    before = source.read_bytes()
    with ScriptedServer(answer_prompt) as server:
        done = hfgen(
            "bulk", str(source), "-o", str(folder.output), "--format", "jsonl", "--ordered",
            "--api-url", server.url,
        )  # fmt: skip
    assert source.read_bytes() == before
    if ending.startswith("state"):
        assert f"{source} is the input: choose another output" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        check(folder.rows(), 5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--concurrency", "0"], "neither a number from 1 on nor a range"),
        (["--rate-limit", "fast"], "not a rate such as 600rpm"),
        (["--restart", "--retry-errors"], "not allowed with"),
        (["--local"], "not allowed with"),
    ],
)
def test_a_wrong_command_line_exits_with_2(folder, arguments, says):
    done = folder.run("http://127.0.0.1:9", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--template", "{"], "the template cannot be read"),
        (["--template", "{tetx}"], "the template names the column 'tetx', the input has 'id', 'in"),
        (["--format", "word"], "'word' is not a format"),
        (["--retry-errors"], "has no errors to retry"),
        (["--report", "/nonexistent/run.html"], "its folder is missing"),
        (["--timeout", "0"], "timeout must be"),
        (["--api-url", "http://127.0.0.1:9/v1/chat/completions"], "without the chat"),
        (["--api-url", "http://127.0.0.1:9/models/"], "needs a `model`"),
    ],
)
def test_what_cannot_begin_is_one_line(folder, arguments, says):
    folder.write(prompts(1))
    done = folder.run("http://127.0.0.1:9", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_key_log_that_cannot_be_written(folder, hfgen):
    folder.write(prompts(1))
    for command in (["bulk", str(folder.input), "-o", str(folder.output)], ["generate", "Hi"]):
        refused = hfgen(*command, "--api-url", "http://127.0.0.1:9", env={"SSLKEYLOGFILE": "/no/x"})
        assert refused.returncode == 1
        assert refused.stderr.startswith("hfgen: error: SSLKEYLOGFILE names '/no/x'")
