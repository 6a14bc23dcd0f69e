"""Whether a run is the one that was begun."""

from pathlib import Path

import pytest

from hfgen import BulkFileError
from hfgen._files import identity

BEFORE = {
    "input": "abc",
    "model": "a/b",
    "template": None,
    "parameters": {"top_k": 5, "stop": ["x"]},
}


def check(**changes):
    identity.check(Path("out.jsonl"), BEFORE, {**BEFORE, **changes})


def test_the_same():
    check()
    check(provider=None, parameters={"stop": ["x"], "top_k": 5, "seed": None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "abd"}, "the input is another one, or was changed"),
        ({"input": None}, "the input is another one, or was changed"),
        ({"model": "a/c"}, 'model was "a/b", is "a/c"'),
        ({"model": None}, 'model was "a/b", is not given'),
        ({"template": "{a}"}, 'template was not given, is "{a}"'),
        ({"parameters": {"stop": ["x"]}}, "parameters.top_k was 5, is not given"),
        ({"parameters": {"top_k": 5, "stop": ["y"]}}, r'parameters.stop was \["x"\], is \["y"\]'),
        ({"model": "c", "input": "d"}, 'was changed; model was "a/b", is "c"'),
    ],
)
def test_what_is_different_is_named(changes, message):
    with pytest.raises(BulkFileError, match=message) as caught:
        check(**changes)
    assert "out.jsonl was begun differently" in caught.value.message
    assert "--restart" in caught.value.message
