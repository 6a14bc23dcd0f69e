"""What `make fuzz` runs holds for its seeds."""

import pytest

from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_of(name):
    target, seeds = TARGETS[name]
    for seed in seeds:
        target(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_hardly_any_bytes_for(name):
    for size in range(20):
        TARGETS[name][0](b"{" * size)
