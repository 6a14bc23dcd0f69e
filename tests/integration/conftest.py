"""Each server in turn, one at a time; what is not installed is skipped."""

import socket

import pytest

import hfgen
from helpers.other_servers import FOREIGN, Running, running


@pytest.fixture(scope="session", params=FOREIGN, ids=lambda like: like.name)
def server(request, tmp_path_factory, local_server):
    """A server that speaks completions."""
    like = request.param
    if like.name == "hfgen":
        yield Running(like, local_server.url)
        return
    if not like.program.exists():
        pytest.skip(f"`make integration-{like.name}` installs it")
    with running(like, tmp_path_factory.mktemp(like.name) / "log") as started:
        yield started


@pytest.fixture
def like(server):
    """What the server is like."""
    return server.like


@pytest.fixture
def client(side, server):
    """A client of the server, on either side."""
    return side.client(**server.options)


@pytest.fixture
def native(local_server):
    """Ask hfgen's own server on TGI's own route, for what is to be generated."""
    with hfgen.Client(api_url=f"{local_server.url}/generate") as client:
        yield lambda request: client.run(request)[0]


@pytest.fixture
def unused_port():
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
