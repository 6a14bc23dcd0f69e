"""`hfgen bulk --report`."""

import os
import re
import sys

import pytest

from helpers.bulk_rows import answer_prompt, check, prompts
from hfgen.testing import ScriptedServer


def test_a_report_needs_matplotlib_before_the_run(folder, tmp_path):
    folder.write(prompts(1))
    # What shadows a package that is not installed.
    shadow = tmp_path / "shadow" / "matplotlib.py"
    shadow.parent.mkdir()
    shadow.write_text("raise ModuleNotFoundError('no', name='matplotlib')")
    with ScriptedServer(answer_prompt) as server:
        path = ":".join([str(shadow.parent), *filter(None, sys.path)])
        done = folder.run(
            server.url, "--report", str(tmp_path / "run.html"), env={"PYTHONPATH": path}
        )
        assert done.returncode == 1
        assert done.stderr == (
            "hfgen: error: --report needs matplotlib: pip install 'hfgen[report]'\n"
        )
        assert server.requests == []
    assert not folder.output.exists()


@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl", "out.jsonl.state"])
def test_a_report_overwrites_no_file_of_the_run(folder, name):
    folder.write(prompts(1))
    before = folder.input.read_bytes()
    done = folder.run("http://127.0.0.1:9", "--report", str(folder.path / "." / name))
    assert (done.returncode, folder.input.read_bytes()) == (1, before)
    assert "the report would overwrite" in done.stderr


def test_a_report_of_files_whose_names_are_no_unicode(folder, tmp_path):
    pytest.importorskip("matplotlib")
    folder.output = tmp_path / os.fsdecode(b"\xff.jsonl")
    folder.write(prompts(1))
    report = tmp_path / "run.html"
    with ScriptedServer(answer_prompt) as server:
        done = folder.run(server.url, "--report", str(report))
    assert done.returncode == 0, done.stderr
    assert "→ " in report.read_text(encoding="utf-8")


def test_a_report_is_a_page_of_its_own(folder, tmp_path):
    pytest.importorskip("matplotlib")
    folder.write([*prompts(30), {"id": 30}])
    report = tmp_path / "run.html"
    with ScriptedServer(lambda request: answer_prompt(request, after=0.01)) as server:
        done = folder.run(server.url, "--report", str(report))
    assert done.returncode == 3
    page = report.read_text(encoding="utf-8")
    assert page.count("<svg") == 8
    assert not re.search(r'(?:src|href)="(?!#)', page.replace('xlink:href="#', ""))
    assert "no prompt" in page


def test_a_report_that_cannot_be_written_costs_no_row(folder, tmp_path):
    pytest.importorskip("matplotlib")
    folder.write(prompts(40))
    report = tmp_path / "run.html"
    with ScriptedServer(lambda request: answer_prompt(request, after=0.05)) as server:
        process = folder.start(server.url, "--concurrency", "2", "--report", str(report))
        server.request(0, timeout=30)
        report.mkdir()
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"hfgen: no report: cannot write {report}" in stderr
    assert [path.name for path in tmp_path.glob("run.html*")] == ["run.html"]
    check(folder.rows(), 40)
