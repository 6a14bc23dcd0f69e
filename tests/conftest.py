"""What the tests of the client share."""

from contextlib import ExitStack

import pytest

from scripted import ScriptedServer
from sides import Async, Sync

_ENVIRONMENT = (
    "DO_NOT_TRACK",
    "HFGEN_API_URL",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HUGGING_FACE_HUB_TOKEN",
    "XDG_CACHE_HOME",
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """No key and no setting of whoever runs the tests."""
    for name in _ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/nonexistent")


@pytest.fixture(params=[Sync, Async], ids=lambda side: side.name)
def side(request):
    """The sync side, then the async side."""
    chosen = request.param()
    yield chosen
    chosen.finish()


@pytest.fixture
def serve():
    """Start scripted servers: `serve(answer, ...)`."""
    with ExitStack() as servers:
        yield lambda *script, **options: servers.enter_context(ScriptedServer(*script, **options))
