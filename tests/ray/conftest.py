"""A Ray on this machine, for the tests that need one: `make test-ray`."""

import logging
import os

import pytest


@pytest.fixture(scope="session")
def cluster():
    """Start Ray, once for all tests."""
    import ray  # noqa: PLC0415 - it is not everywhere

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray runs its workers at 15: on a busy machine, each would take minutes to start.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - so Ray spells it
    ray.init(
        num_cpus=3,
        object_store_memory=150 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
