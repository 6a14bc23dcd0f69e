"""The page of results: its columns, its ratios, and what failed."""

import re

import pytest

from benchmarks.report import render_page
from benchmarks.runner import Figures

# A bar inside a cell is escaped.
SEPARATOR = re.compile(r"(?<!\\)\|")


@pytest.fixture
def table():
    """Return the cells of a scenario's table, by the first of each row."""

    def cells(scenario, figures):
        text = render_page({scenario: figures}, {}, {}, 3)
        lines = text.partition(f"## {scenario}\n")[2].splitlines()[3:]
        rows = [[cell.strip() for cell in SEPARATOR.split(line)[1:-1]] for line in lines if line]
        return {row[0].strip("*"): dict(zip(rows[0], row, strict=False)) for row in rows[2:]}

    return cells


def test_ratios_are_taken_round_by_round(table):
    floor, ours = Figures(figure=[10, 20, 40]), Figures(figure=[20, 40, 80])
    assert table("sync-1", {"floor": floor, "hfgen": ours})["hfgen"]["÷ floor"] == "2.00"


def test_rows_are_sorted_by_figure_with_failures_last(table):
    figures = {
        "openai": Figures(failure="no such module\nImportError: a|b"),
        "hfgen": Figures(figure=[3.0]),
        "floor": Figures(figure=[2.0]),
    }
    rows = table("sync-1", figures)
    assert list(rows) == ["floor", "hfgen", "openai"]
    assert "ImportError" in rows["openai"]["notes"]


def test_a_later_failure_is_a_note_beside_the_figures(table):
    figures = {"floor": Figures(figure=[2.0, 2.0]), "hfgen": Figures(figure=[3.0], failure="gone")}
    row = table("sync-1", figures)["hfgen"]
    assert (row["÷ floor"], row["notes"]) == ("1.50", "gone")


def test_empty_columns_are_left_out(table):
    figures = {"floor": Figures(figure=[1.0]), "hfgen, Client()": Figures(figure=[2.0])}
    row = table("import", figures)["hfgen, Client()"]
    assert "wall s" not in row
    assert "tokens/s" not in row


def test_a_share_of_the_work_is_noted(table):
    figures = {"floor": Figures(figure=[1.0]), "litellm": Figures(figure=[50.0])}
    assert table("async-200", figures)["litellm"]["notes"] == "1/20 of the work"


def test_a_server_is_compared_with_the_engine_alone(table):
    figures = {
        "floor, the engine alone": Figures(figure=[100, 110], speed=[900, 950], first=[2, 3]),
        "hfgen serve": Figures(figure=[150, 155], speed=[700, 800], first=[4, 5]),
    }
    row = table("serve-8", figures)["hfgen serve"]
    assert (row["over floor"], row["tokens/s"], row["first token, ms"]) == ("+47.5", "750", "4.5")


def test_the_dependencies_are_subtracted_from_an_import(table):
    figures = {
        "hfgen, Client()": Figures(figure=[30.0, 34.0]),
        "msgspec and urllib3, alone": Figures(figure=[20.0, 21.0]),
    }
    notes = table("import", figures)["hfgen, Client()"]["notes"]
    assert notes == "its own: 11.5 ms, beside msgspec and urllib3, alone"
