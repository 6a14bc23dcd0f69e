"""The share of a scenario that a slow client gets."""

import pytest

from benchmarks.roster import CLIENTS
from benchmarks.scenarios import SCENARIOS

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize(
    ("name", "field", "expected"),
    [
        ("sync-1", "tokens", 100),
        ("async-200", "streams", 10),
        ("run-64", "calls", 75),
        ("idle-1000", "streams", 50),
    ],
)
def test_a_share_is_of_the_calls_the_streams_or_the_tokens(name, field, expected):
    whole = BY_NAME[name]
    part = whole.take_share(20)
    assert getattr(part, field) == expected
    changed = {name for name in vars(whole) if getattr(part, name) != getattr(whole, name)}
    assert changed == {field}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_share_of_one_is_the_whole_and_no_share_is_empty(scenario):
    assert scenario.take_share(1) == scenario
    smallest = scenario.take_share(10**9)
    assert smallest.streams > 0
    assert smallest.tokens > 0
    assert scenario.calls == 0 or smallest.calls > 0


def test_client_names_are_unique():
    names = [client.name for client in CLIENTS]
    assert len(names) == len(set(names))
