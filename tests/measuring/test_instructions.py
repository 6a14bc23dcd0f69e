"""Counting instructions: what callgrind says, and that there is a longer run to subtract from."""

import pytest

from benchmarks.instructions import collected, counted


def test_the_count_is_in_what_callgrind_says():
    said = (
        "==7== Events    : Ir\n==7== Collected : 1044396701\n==7==\n==7== I refs: 1,044,396,701\n"
    )
    assert collected(said) == 1044396701


def test_what_went_wrong_is_shown():
    with pytest.raises(SystemExit, match="ModuleNotFoundError: No module named 'openai'"):
        collected("Traceback:\nModuleNotFoundError: No module named 'openai'\n")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_runs_differ_in_nothing_but_their_length(kind):
    for each in counted(kind):
        few, many = each.scenario(each.few), each.scenario(each.many)
        assert few.kind == kind
        changed = {name for name in vars(few) if getattr(few, name) != getattr(many, name)}
        assert len(changed) == 1
        assert getattr(many, changed.pop()) > each.few
