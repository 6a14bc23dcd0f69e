"""From rows to requests."""

import datetime as dt
import io
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfgen import InvalidRequestError
from hfgen._core.request import encode_json, normalize_request
from hfgen._files import text as lines
from hfgen._files.prompt import Prompt
from hfgen._files.row import Row, unreadable_row


def request(columns, template=None, **options):
    return Prompt(template, **options)(Row(0, columns))


def problem(columns, template=None):
    with pytest.raises(InvalidRequestError) as caught:
        request(columns, template)
    return caught.value.message


def test_the_column_is_inputs_or_else_prompt():
    assert request({"id": 1, "inputs": "a"}) == {"inputs": "a"}
    assert request({"prompt": "b"}) == {"inputs": "b"}
    assert request({"prompt": "b", "inputs": "a"}) == {"inputs": "a"}


def test_without_a_prompt():
    assert "no column `inputs` or `prompt`" in problem({"text": "a", "id": 1})
    assert "('text', 'id')" in problem({"text": "a", "id": 1})
    assert "(none)" in problem({})
    assert problem({"inputs": 7}) == "the column `inputs` does not hold text: 7"
    assert problem({"inputs": None}) == "the column `inputs` does not hold text: None"
    assert len(problem({"prompt": ["x" * 1000]})) < 200


def test_an_unreadable_row_says_why():
    with pytest.raises(InvalidRequestError, match=r"^not JSON$"):
        Prompt("{inputs}")(unreadable_row(0, "{", "not JSON"))


ROWS = [
    unreadable_row(0, "{", "not JSON"),
    Row(1, {"id": 1, "text": "a"}),
    Row(2, {"id": 2, "inputs": "b", "note": None}),
]


@pytest.mark.parametrize(
    ("template", "count", "message"),
    [
        (None, 3, None),
        (None, 2, "no prompt: the input has no column `inputs` or `prompt`; make one of its "),
        ("{id} {note}", 3, None),
        ("{id} {note}", 2, "the template names the column 'note', the input has 'id', 'text'"),
        ("{nope}", 3, "the column 'nope', the input has 'id', 'text', 'inputs', 'note'"),
        ("no column", 3, None),
        ("{nope}", 1, None),
        ("{nope}", 0, None),
    ],
)
def test_columns_are_known_before_the_run(template, count, message):
    if message is None:
        Prompt(template).check_columns(ROWS[:count])
    else:
        with pytest.raises(InvalidRequestError, match=re.escape(message)):
            Prompt(template).check_columns(ROWS[:count])


def test_no_more_rows_are_taken_than_are_needed():
    rows = iter(ROWS)
    Prompt("{text}").check_columns(rows)
    assert next(rows).index == 2


@pytest.mark.parametrize(
    ("template", "inputs"),
    [
        ("Translate: {text}", "Translate: a {b}"),
        ("{text}{text}", "a {b}a {b}"),
        ("{{text}} {id}", "{text} 7"),
        ("{a.b} {a[0]}", "dotted indexed"),
        ("{tags}", '["x",null]'),
        ("{flag}", "true"),
        ("{with space}", "spaced"),
        ("no column", "no column"),
        ("", ""),
    ],
)
def test_a_template_is_filled_in(template, inputs):
    columns = {
        "text": "a {b}", "id": 7, "a.b": "dotted", "a[0]": "indexed", "tags": ["x", None],
        "flag": True, "with space": "spaced",
    }  # fmt: skip
    assert request(columns, template) == {"inputs": inputs}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.10"), "1.10"),
        (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00Z"),
        (b"\xff", "/w=="),
        ([Decimal("1.10")], '["1.10"]'),
    ],
)
def test_values_that_json_does_not_have_are_text_in_a_template(value, text):
    assert request({"a": value}, "{a}") == {"inputs": text}


def test_a_decimal_among_the_parameters_is_a_number():
    made = request({"inputs": "x", "parameters": {"temperature": Decimal("0.70")}})
    assert encode_json(normalize_request(made)) == (
        b'{"inputs":"x","parameters":{"temperature":0.7}}'
    )


def test_a_template_reaches_columns_only():
    assert problem({"text": "a"}, "{text.__class__}") == (
        "the template names the column 'text.__class__', the row has 'text'"
    )
    assert "'0'" in problem({"text": "a"}, "{0}")
    assert "'text[0]'" in problem({"text": "a"}, "{text[0]}")
    assert "which is null" in problem({"text": None}, "{text}")
    assert "which is nan" in problem({"text": float("nan")}, "{text}")


@pytest.mark.parametrize("template", ["{", "a } b", "{}", "{text!r}", "{text:>10}", "{text:{w}}"])
def test_a_template_that_is_none_is_refused_at_once(template):
    with pytest.raises(InvalidRequestError, match=r"literal brace twice: \{\{"):
        Prompt(template)


@given(st.text(), st.text())
def test_any_text_goes_through_a_template(before, value):
    template = before.replace("{", "{{").replace("}", "}}") + "{column}"
    assert request({"column": value}, template) == {"inputs": before + value}


def test_the_rows_own_parameters_win():
    own = {"temperature": 0.2, "seed": None}
    defaults = {"temperature": 0.7, "max_new_tokens": 5, "seed": 1}
    assert request({"inputs": "a", "parameters": own}, parameters=defaults) == {
        "inputs": "a",
        "parameters": {"temperature": 0.2, "max_new_tokens": 5, "seed": 1},
    }
    assert defaults["seed"] == 1


@pytest.mark.parametrize("parameters", [None, {}, ""])
def test_no_parameters_of_its_own(parameters):
    assert request({"inputs": "a", "parameters": parameters}) == {"inputs": "a"}
    assert request({"inputs": "a", "parameters": parameters}, parameters={"seed": 1}) == {
        "inputs": "a",
        "parameters": {"seed": 1},
    }


def test_parameters_as_text():
    columns = {"inputs": "a", "parameters": '{"seed": 1}'}
    assert request(columns)["parameters"] == {"seed": 1}


@pytest.mark.parametrize("parameters", [[1], 7, True, False, "{", "[]1", "[1]"])
def test_parameters_that_are_none(parameters):
    assert "`parameters` are no" in problem({"inputs": "a", "parameters": parameters})


def test_a_column_named_model_is_a_column():
    assert request({"inputs": "a", "model": "b"}) == {"inputs": "a"}


def test_json_columns_are_read():
    (row,) = lines.read_json_rows(
        io.BytesIO(b'{"text": "\\u00fc", "n": 1.50, "parameters": {"seed": 1}}')
    )
    assert Prompt("{text} {n}")(row) == {"inputs": "ü 1.5", "parameters": {"seed": 1}}
