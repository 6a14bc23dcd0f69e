"""`docs/parameters.md`: its tables name every parameter, and what hfgen sends for it."""

from pathlib import Path

import pytest

from hfgen import InvalidRequestError
from hfgen._core.dialects.completions.request import make_body
from hfgen._core.dialects.server_kind import Server
from hfgen._core.request import GenerateParameters

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"
# The columns of the second table.
KINDS = ("vllm", "sglang", "llama.cpp", "transformers", "ollama", "tgi", "provider")
VALUES = {
    "adapter_id": "mine",
    "best_of": 2,
    "decoder_input_details": True,
    "details": True,
    "do_sample": True,
    "frequency_penalty": 0.5,
    "grammar": {"type": "json", "value": {"properties": {}}},
    "max_new_tokens": 7,
    "max_time": 3.0,
    "num_return_sequences": 2,
    "repetition_penalty": 1.2,
    "return_full_text": True,
    "seed": 5,
    "stop": ["."],
    "temperature": 0.7,
    "top_k": 3,
    "top_n_tokens": 2,
    "top_p": 0.9,
    "truncate": 5,
    "typical_p": 0.9,
    "watermark": True,
}


def read_tables():
    """Return the rows of the tables on the page, each table as a dict by its first column."""
    tables, rows = [], None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            rows = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if rows is None:
            rows = {}
            tables.append(rows)
        elif not cells[0].startswith("---"):
            rows[cells[0].strip("`")] = cells[1:]
    return tables


def describe_fields(name, kind):
    """Return the fields of a completion that the parameter sets on a server of this kind."""
    request = {"inputs": "x", "parameters": {}}
    bare = make_body(request, Server(kind, context=100), stream=False)
    try:
        body = make_body(
            {**request, "parameters": {name: VALUES[name]}},
            Server(kind, context=100),
            stream=False,
        )
    except InvalidRequestError:
        return "refused"
    fields = {field for field in body if body[field] != bare.get(field)}
    if name not in {"do_sample", "temperature"}:
        # What samples sets it, too.
        fields -= {"temperature"}
    return ", ".join(f"`{field}`" for field in sorted(fields))


def test_the_first_table_has_every_parameter():
    meanings, _ = read_tables()
    assert sorted(meanings) == sorted(GenerateParameters.__annotations__)


@pytest.mark.parametrize("name", VALUES)
def test_the_second_table_has_what_is_sent(name):
    _, sent = read_tables()
    assert sent[name] == [describe_fields(name, kind) for kind in KINDS]


def test_the_second_table_has_every_parameter():
    _, sent = read_tables()
    assert sorted(sent) == sorted(VALUES) == sorted(GenerateParameters.__annotations__)
