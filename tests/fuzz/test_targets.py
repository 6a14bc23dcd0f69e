"""The targets of `make fuzz` hold for their seeds."""

import pytest

from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds(name):
    target, seeds = TARGETS[name]
    for seed in seeds:
        target(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_very_short_inputs(name):
    for size in range(20):
        TARGETS[name][0](b"{" * size)
