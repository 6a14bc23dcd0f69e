"""The servers that are measured with the bundled model, and the parts of hfgen's server."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.engine import PARTS
from benchmarks.local_servers import LocalServer
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import Servers, StartError, fetch
from benchmarks.wire import STORIES
from hfgen.server.engine.checkpoint import BUNDLED, load_checkpoint

SERVE_8 = next(scenario for scenario in SCENARIOS if scenario.name == "serve-8")
THIS_ENVIRONMENT = Path(sys.prefix)


@pytest.fixture(scope="module")
def model():
    return load_checkpoint(BUNDLED)


@pytest.mark.parametrize("part", PARTS)
def test_each_call_has_a_first_token(model, part):
    scenario = replace(SERVE_8, streams=2, calls=3, tokens=4)
    assert len(PARTS[part](model, scenario)) == 3


def test_every_story_is_long_enough(model):
    PARTS["batcher"](model, replace(SERVE_8, calls=len(STORIES)))


def test_a_story_that_ends_is_no_measurement(model):
    with pytest.raises(SystemExit, match="not 400 tokens"):
        PARTS["batcher"](model, replace(SERVE_8, calls=1, streams=1, tokens=400))


def test_a_server_is_started_once_and_ends_with_the_others():
    served = LocalServer(
        name="served", folder=THIS_ENVIRONMENT, serve_command=("hfgen", "serve", "--port", "{port}")
    )
    with Servers() as servers:
        location = servers.locate(served, SERVE_8)
        assert servers.locate(served, SERVE_8) is location
        assert fetch(f"{location['address']}/health") is not None
        os.kill(location["pid"], 0)
    with pytest.raises(OSError, match="refused"):
        fetch(f"{location['address']}/health")


def test_a_server_that_does_not_start_gives_the_reason_each_time():
    broken = LocalServer(
        name="broken",
        folder=THIS_ENVIRONMENT,
        serve_command=("python", "-c", "raise SystemExit('torn')"),
    )
    with Servers() as servers:
        for _ in range(2):
            with pytest.raises(StartError, match="torn"):
                servers.locate(broken, SERVE_8)
