"""What the tests of transports and adapters share."""

import gc

import pytest

from helpers.transports_under_test import SOCKET_TRANSPORTS, TRANSPORTS
from hfgen._sync import sockets


@pytest.fixture(scope="session", autouse=True)
def what_is_loaded_stays():
    """What was there before these tests need not be looked through after each of them."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=TRANSPORTS, ids=lambda way: way.name.replace(" ", "-"))
def way(request):
    """Each way to make a request."""
    yield from _used(request.param)


@pytest.fixture(params=SOCKET_TRANSPORTS, ids=lambda way: way.name.replace(" ", "-"))
def socket_way(request):
    """Each way that goes over a socket."""
    yield from _used(request.param)


def _used(way_class):
    way = way_class()
    yield way
    way.finish()
    # A leak fails the test that leaked, not the one that happens to run later.
    gc.collect()
    assert not sockets._cuttable_sockets
