"""Fixtures for all tests."""

import signal
import subprocess
from contextlib import ExitStack

import pytest

from helpers.sync_and_async import Async, Sync
from hfgen.testing import ScriptedServer

_ENVIRONMENT = (
    "ALL_PROXY",
    "DO_NOT_TRACK",
    "HFGEN_API_KEY",
    "HFGEN_API_URL",
    "HFGEN_MODEL",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "HUGGING_FACE_HUB_TOKEN",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "XDG_CACHE_HOME",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


@pytest.fixture(scope="session", autouse=True)
def default_signal_handlers():
    """Handle SIGINT and SIGHUP, so that tests can send them, however the run was started.

    `make test &` ignores SIGINT, `nohup make test` ignores SIGHUP, and children inherit what is
    ignored. What a process handles is set back to its default in the programs that it starts.
    The handler of SIGHUP does nothing: the run itself still outlives its terminal under `nohup`.
    """
    handlers = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):  # Windows has none.
        handlers[signal.SIGHUP] = lambda *_: None
    previous = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is signal.SIG_IGN
    }
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def clear_environment(monkeypatch):
    """Remove the keys and settings of the person who runs the tests."""
    for name in _ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/nonexistent")


@pytest.fixture(params=[Sync, Async], ids=lambda side: side.name)
def side(request):
    """The sync side, then the async side."""
    side = request.param()
    yield side
    side.finish()


@pytest.fixture
def serve():
    """Start scripted servers: `serve(answer, ...)`."""
    with ExitStack() as servers:
        yield lambda *script, **options: servers.enter_context(ScriptedServer(*script, **options))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Make certificates: `authority.server("127.0.0.1")`."""
    from helpers.certificates import Authority  # noqa: PLC0415 - not everywhere can they be made

    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
               "-out", names[0], "-keyout", names[1]]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no openssl that makes certificates")
    return names
