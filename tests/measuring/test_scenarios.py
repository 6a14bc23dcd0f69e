"""What of a scenario a slow client gets."""

import pytest

from benchmarks.roster import CLIENTS
from benchmarks.scenarios import SCENARIOS

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize(
    ("name", "what", "left"),
    [
        ("sync-1", "tokens", 100),
        ("async-200", "streams", 10),
        ("run-64", "calls", 75),
        ("idle-1000", "streams", 50),
    ],
)
def test_a_part_is_of_the_calls_the_streams_or_the_tokens(name, what, left):
    whole = BY_NAME[name]
    part = whole.part(20)
    assert getattr(part, what) == left
    changed = {field for field in vars(whole) if getattr(part, field) != getattr(whole, field)}
    assert changed == {what}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_whole_is_a_part_and_nobody_gets_nothing(scenario):
    assert scenario.part(1) == scenario
    least = scenario.part(10**9)
    assert least.streams > 0
    assert least.tokens > 0
    assert scenario.calls == 0 or least.calls > 0


def test_the_names_are_of_one_each():
    names = [client.name for client in CLIENTS]
    assert len(names) == len(set(names))
