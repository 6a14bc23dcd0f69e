"""Each server in turn, one at a time; what is not installed is skipped."""

import socket

import pytest

import hfgen
from helpers.other_servers import SERVER_PROFILES, RunningServer, start_other_server


@pytest.fixture(scope="session", params=SERVER_PROFILES, ids=lambda profile: profile.name)
def server(request, tmp_path_factory, local_server):
    """A server that speaks completions."""
    profile = request.param
    if profile.name == "hfgen":
        yield RunningServer(profile, local_server.url)
        return
    if not profile.program.exists():
        pytest.skip(f"`make integration-{profile.name}` installs it")
    with start_other_server(
        profile, tmp_path_factory.mktemp(profile.name) / "log"
    ) as started_server:
        yield started_server


@pytest.fixture
def profile(server):
    """How the server differs from others."""
    return server.profile


@pytest.fixture
def client(side, server):
    """A client of the server, on either side."""
    return side.client(**server.options)


@pytest.fixture
def native(local_server):
    """Generate with hfgen's own server on TGI's own route: the expected answer."""
    with hfgen.Client(api_url=f"{local_server.url}/generate") as client:
        yield lambda request: client.run(request)[0]


@pytest.fixture
def unused_port():
    """A port on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
