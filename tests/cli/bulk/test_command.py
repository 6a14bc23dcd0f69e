"""`hfgen bulk`, in a process of its own: what goes in, what comes out, and how it ends."""

import gzip
import json
import re

import pytest

from helpers.bulk_rows import answer_prompt, check, prompts
from hfgen.testing import ScriptedServer, as_json, fault, overloaded, status


def test_each_row_comes_out_with_its_text(folder):
    folder.write(prompts(40))
    with ScriptedServer(answer_prompt) as server:
        done = folder.run(server.url, "--max-new-tokens", "9", "--model", "owner/name")
    assert (done.returncode, done.stdout) == (0, "")
    check(folder.rows(), 40)
    first = next(row for row in folder.rows() if row["id"] == 0)
    assert list(first.items()) == [
        ("id", 0),
        ("inputs", "prompt 0"),
        ("generated_text", "text for prompt 0"),
        ("finish_reason", "length"),
        ("generated_tokens", 2),
    ]
    body = server.requests[0].json
    assert body["parameters"]["max_new_tokens"] == 9
    assert body["parameters"]["return_full_text"] is False
    assert body["model"] == "owner/name"
    assert "hfgen: 40 rows done: 40 with text, 0 with an error\n" in done.stderr
    assert len(server.requests) == 40


def test_on_the_local_server(folder, local_server):
    folder.write([{"prompt": "Once upon a time"}, {"prompt": "One day"}])
    done = folder.run(local_server.url, "--max-new-tokens", "5", "--details")
    assert done.returncode == 0
    for row in folder.rows():
        assert row["generated_text"]
        assert row["generated_tokens"] == 5
        assert [*row["details"]]


def test_local_brings_its_own_server(folder):
    folder.write([{"inputs": "Once upon a time", "parameters": {"max_new_tokens": 3}}])
    done = folder.run(None, "--local", "--max-new-tokens", "200")
    assert done.returncode == 0, done.stderr
    assert folder.rows()[0]["generated_tokens"] == 3


def test_a_template_makes_the_prompt(folder):
    folder.write([{"text": "cat", "n": 3}, {"text": 'a "{dog}"', "n": None}])
    with ScriptedServer(answer_prompt) as server:
        done = folder.run(server.url, "--template", "Translate {{}}: {text}", "--ordered")
    assert done.returncode == 0
    assert [row["generated_text"] for row in folder.rows()] == [
        "text for Translate {}: cat",
        'text for Translate {}: a "{dog}"',
    ]


def test_rows_come_from_standard_input(folder, hfgen):
    lines = "".join(json.dumps(row) + "\n" for row in prompts(30))
    with ScriptedServer(answer_prompt) as server:
        arguments = ("bulk", "-", "-o", str(folder.output), "--api-url", server.url)
        done = hfgen(*arguments, text=lines)
        assert done.returncode == 0, done.stderr
        check(folder.rows(), 30)
        again = hfgen(*arguments, text=lines)
        assert (again.returncode, len(server.requests)) == (0, 30)
        other = hfgen(*arguments, text=lines.replace("prompt 7", "prompt 8"))
    assert other.returncode == 1
    assert "another input" in other.stderr


def test_lines_of_text_and_csv(folder, hfgen):
    (folder.path / "in.txt").write_text("one\ntwo\n")
    (folder.path / "in.csv").write_text('prompt,id\n"three, four",1\n')
    with ScriptedServer(answer_prompt) as server:
        for name, texts in (("in.txt", ["one", "two"]), ("in.csv", ["three, four"])):
            output = folder.path / f"{name}.jsonl"
            done = hfgen(
                "bulk", str(folder.path / name), "-o", str(output), "--api-url", server.url
            )
            assert done.returncode == 0, done.stderr
            found = sorted(row["generated_text"] for row in folder.rows(output))
            assert found == sorted(f"text for {text}" for text in texts)


def test_parquet_in_and_out(folder, hfgen):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    input_path, output = folder.path / "in.parquet", folder.path / "out.parquet"
    table = pa.table(
        {"id": pa.array(range(50), pa.int16()), "inputs": [f"p{n}" for n in range(50)]}
    )
    parquet.write_table(table, input_path)
    with ScriptedServer(lambda request: answer_prompt(request, after=0.05)) as server:
        arguments = ("bulk", str(input_path), "-o", str(output), "--api-url", server.url)
        process = hfgen.start(*arguments, "--concurrency", "2")
        server.request(9, timeout=30)
        process.kill()
        process.wait()
        assert not output.exists()
        done = hfgen(*arguments)
    assert done.returncode == 0, done.stderr
    found = parquet.read_table(output)
    assert found.select(["id", "inputs"]).equals(table)
    assert found["generated_text"].to_pylist() == [f"text for p{n}" for n in range(50)]


def test_compressed_in_and_out(folder, hfgen):
    folder.write(prompts(20))
    input_path, output = folder.path / "in.jsonl.gz", folder.path / "out.jsonl.gz"
    input_path.write_bytes(gzip.compress(folder.input.read_bytes()))
    with ScriptedServer(answer_prompt) as server:
        done = hfgen("bulk", str(input_path), "-o", str(output), "--api-url", server.url)
    assert done.returncode == 0, done.stderr
    check([json.loads(line) for line in gzip.decompress(output.read_bytes()).splitlines()], 20)


def test_bad_rows_are_errors_and_stop_nothing(folder):
    def answer(request):
        if request.json["inputs"] == "too long":
            return as_json(fault("`inputs` is too long", kind="validation"), status=422)
        return answer_prompt(request)

    folder.write(
        [
            {"inputs": "good"},
            {"text": "no prompt"},
            "{no json",
            {"inputs": "too long"},
            {"inputs": "good", "parameters": "what"},
            "",
            "[1]",
        ]
    )
    with ScriptedServer(answer) as server:
        done = folder.run(server.url, "--ordered")
        assert done.returncode == 3
        rows = folder.rows()
        kinds = [row.get("error", {}).get("type") for row in rows]
        invalid = "InvalidRequestError"
        assert kinds == [None, invalid, invalid, "ValidationError", invalid, invalid]
        assert rows[1]["text"] == "no prompt"
        assert rows[2]["row"] == "{no json"
        assert rows[3]["error"] == {
            "type": "ValidationError",
            "message": rows[3]["error"]["message"],
            "status": 422,
            "attempts": 1,
        }
        assert "5 with an error (InvalidRequestError 4, ValidationError 1)" in done.stderr
        assert "--retry-errors\n" in done.stderr
        assert "hfgen: InvalidRequestError, for example: no prompt: the row has no" in done.stderr
        (example,) = re.findall("hfgen: ValidationError, for example: (.*)", done.stderr)
        assert "`inputs` is too long" in example
        # What is done is not done again, and stays an error.
        again = folder.run(server.url, "--ordered")
        assert again.returncode == 3
        assert len(server.requests) == 2


def test_errors_are_run_again_on_demand(folder):
    broken = True

    def answer(request):
        number = int(request.json["inputs"].split()[-1])
        return status(500, "no") if broken and number % 5 == 0 else answer_prompt(request)

    folder.write(prompts(40))
    with ScriptedServer(answer) as server:
        arguments = ("--max-retries", "0", "--ordered", "--concurrency", "4")
        done = folder.run(server.url, *arguments)
        assert done.returncode == 3
        assert sum("error" in row for row in folder.rows()) == 8
        broken = False
        before = len(server.requests)
        done = folder.run(server.url, *arguments, "--retry-errors")
        assert done.returncode == 0, done.stderr
        assert len(server.requests) - before == 8
    check(folder.rows(), 40)
    assert [row["id"] for row in folder.rows()] == list(range(40))


def test_too_many_errors_stop_it(folder):
    folder.write(prompts(200))
    with ScriptedServer(as_json(fault("no", kind="validation"), status=422)) as server:
        done = folder.run(server.url, "--max-errors", "3", "--concurrency", "2")
    assert done.returncode == 1
    assert "hfgen: stopped: more than 3 rows have an error; to go on: " in done.stderr
    assert 3 < len(folder.rows()) < 200


def test_what_is_done_is_not_done_again(folder):
    folder.write(prompts(5))
    with ScriptedServer(answer_prompt) as server:
        assert folder.run(server.url).returncode == 0
    before = folder.output.read_bytes()
    # There is no server any more, and none is needed.
    done = folder.run(server.url)
    assert (done.returncode, folder.output.read_bytes()) == (0, before)
    assert done.stderr == (
        "hfgen: 5 rows done, 5 of them by earlier runs: 5 with text, 0 with an error\n"
    )


# One that may be raised, and one that may not.
@pytest.mark.parametrize("limit", ["-Sn 48", "-n 100"])
def test_a_low_limit_of_open_files_is_no_hindrance(folder, limit):
    limited = ("bash", "-c", f'ulimit {limit}; exec "$@"', "bash")
    folder.write(prompts(200))
    with ScriptedServer(lambda request: answer_prompt(request, after=0.2)) as server:
        done = folder.run(server.url, "--concurrency", "100", "--max-retries", "0", through=limited)
    assert done.returncode == 0, done.stderr
    check(folder.rows(), 200)
    line = "hfgen: concurrency at most 36, because of the limit of open files; `ulimit -n` raises"
    assert (line in done.stderr) is (limit == "-n 100")


def test_a_row_that_is_always_refused_has_an_error_after_patience(folder):
    def answer(request):
        is_refused = request.json["inputs"] == "prompt 1"
        return overloaded() if is_refused else answer_prompt(request)

    folder.write(prompts(5))
    with ScriptedServer(answer) as server:
        done = folder.run(server.url, "--patience", "0.2")
    assert done.returncode == 3
    assert [row["id"] for row in folder.rows() if "error" in row] == [1]


def test_as_fast_as_it_is_allowed(folder):
    folder.write(prompts(8))
    with ScriptedServer(answer_prompt) as server:
        done = folder.run(server.url, "--rate-limit", "240rpm,100000tpm", "--concurrency", "8")
    assert done.returncode == 0
    times = [request.received_at for request in server.requests]
    # A quarter of a second apart, the first one aside.
    assert times[-1] - times[0] > 1.5


def test_a_limit_is_for_a_try_and_a_larger_one_goes_on(folder):
    folder.write(prompts(40))
    with ScriptedServer(answer_prompt) as server:
        done = folder.run(server.url, "--limit", "3")
        assert (done.returncode, len(folder.rows())) == (0, 3)
        assert {row["id"] for row in folder.rows()} == {0, 1, 2}
        assert "hfgen: 3 rows done" in done.stderr
        assert folder.run(server.url, "--limit", "3").returncode == 0
        assert len(server.requests) == 3
        assert folder.run(server.url, "--limit", "50").returncode == 0
    check(folder.rows(), 40)
    assert len(server.requests) == 40


def test_a_limit_of_standard_input(folder, hfgen):
    lines = "".join(json.dumps(row) + "\n" for row in prompts(30))
    with ScriptedServer(answer_prompt) as server:
        arguments = ("bulk", "-", "-o", str(folder.output), "--api-url", server.url)
        done = hfgen(*arguments, "--limit", "2", text=lines)
    assert (done.returncode, len(folder.rows())) == (0, 2)


def test_several_texts_of_a_prompt(folder):
    folder.write([{"inputs": "Once"}])
    choices = [{"index": n, "text": f"text {n}", "finish_reason": "length"} for n in range(2)]
    with ScriptedServer(as_json({"choices": choices}), speaks="completions") as server:
        url = f"{server.url}/v1/completions"
        done = folder.run(
            url, "--dialect", "completions", "--model", "m", "--n", "2", "--no-stream"
        )
    assert done.returncode == 0, done.stderr
    assert folder.rows()[0]["generated_texts"] == ["text 0", "text 1"]
