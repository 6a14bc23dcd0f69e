"""Counting instructions: what callgrind writes, and that there is a longer run to subtract from."""

import pytest

from benchmarks.__main__ import count_for_goals
from benchmarks.goals import COUNT_GOALS
from benchmarks.instructions import make_workloads, read_totals
from benchmarks.roster import CLIENTS


def test_every_second_dump_is_of_what_was_measured(tmp_path):
    for number in range(1, 13):
        dump = f"version: 1\ndesc: Trigger: --dump-before=getppid\n\ntotals: {number * 10}\n"
        (tmp_path / f"callgrind.{number}").write_text(dump)
    (tmp_path / "callgrind").write_text("totals: 7\n")
    assert read_totals(tmp_path) == [20, 40, 60, 80, 100, 120]


def test_no_dumps_give_no_totals(tmp_path):
    assert read_totals(tmp_path) == []


@pytest.mark.parametrize("side", ["sync", "async"])
def test_the_two_runs_differ_in_length_only(side):
    for workload in make_workloads(side):
        few, many = workload.scenario(workload.few), workload.scenario(workload.many)
        assert few.kind == side
        changed = {name for name in vars(few) if getattr(few, name) != getattr(many, name)}
        assert len(changed) == 1
        assert getattr(many, changed.pop()) > workload.few


def test_goals_name_existing_workloads_and_clients():
    workloads = {workload.name for side in ("sync", "async") for workload in make_workloads(side)}
    clients = {client.name for client in CLIENTS}
    for goal in COUNT_GOALS:
        assert goal.scenario in workloads
        assert {goal.client, goal.against} <= clients


def test_without_valgrind_a_line_says_that_nothing_is_counted(monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert count_for_goals(list(CLIENTS)) == {}
    assert "valgrind is not installed" in capsys.readouterr().out
