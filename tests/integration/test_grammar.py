"""Text that is held to a grammar, and the refusals where a server is not known to do so."""

import json
import re

import pytest

import hfgen

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}},
    "required": ["name"],
    "additionalProperties": False,
}
REGEX = "(fox|owl)[0-9]{3}"


def asking(kind, value):
    grammar = {"type": kind, "value": value}
    return {
        "inputs": "Once upon a time",
        "parameters": {"max_new_tokens": 60, "grammar": grammar},
    }


@pytest.mark.parametrize("value", [SCHEMA, json.dumps(SCHEMA)], ids=["mapping", "string"])
def test_json(side, client, like, value):
    check(side, client, like, asking("json", value), lambda text: json.loads(text)["name"])


def test_json_schema(side, client, like):
    asked = asking("json_schema", {"name": "card", "schema": SCHEMA})
    check(side, client, like, asked, lambda text: json.loads(text)["name"])


def test_regex(side, client, like):
    check(side, client, like, asking("regex", REGEX), lambda text: re.fullmatch(REGEX, text))


def check(side, client, like, asked, reads):
    kind = asked["parameters"]["grammar"]["type"]
    if kind.partition("_")[0] not in like.grammars:
        with pytest.raises(hfgen.InvalidRequestError, match="grammar"):
            side.call(client.run, asked)
        return
    (answer,) = side.call(client.run, asked)
    assert reads(answer.generated_text)
    last = side.collect(side.call(client.stream, asked))[-1]
    assert reads(last.generated_text)
    assert last.details.finish_reason == answer.details.finish_reason == "eos_token"
