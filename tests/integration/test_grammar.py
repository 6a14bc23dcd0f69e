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


def make_request(kind, value):
    grammar = {"type": kind, "value": value}
    return {
        "inputs": "Once upon a time",
        "parameters": {"max_new_tokens": 60, "grammar": grammar},
    }


@pytest.mark.parametrize("value", [SCHEMA, json.dumps(SCHEMA)], ids=["mapping", "string"])
def test_json(side, client, profile, value):
    check(side, client, profile, make_request("json", value), lambda text: json.loads(text)["name"])


def test_json_schema(side, client, profile):
    request = make_request("json_schema", {"name": "card", "schema": SCHEMA})
    check(side, client, profile, request, lambda text: json.loads(text)["name"])


def test_regex(side, client, profile):
    check(
        side, client, profile, make_request("regex", REGEX), lambda text: re.fullmatch(REGEX, text)
    )


def check(side, client, profile, request, matches):
    kind = request["parameters"]["grammar"]["type"]
    if kind.partition("_")[0] not in profile.grammars:
        with pytest.raises(hfgen.InvalidRequestError, match="grammar"):
            side.call(client.run, request)
        return
    (answer,) = side.call(client.run, request)
    assert matches(answer.generated_text)
    last = side.collect(side.call(client.stream, request))[-1]
    assert matches(last.generated_text)
    assert last.details.finish_reason == answer.details.finish_reason == "eos_token"
