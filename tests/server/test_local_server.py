import asyncio
import builtins
import gc
import pickle
import signal
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import aiohttp
import pytest

import hfgen.server
from hfgen.server import LocalServer, LocalServerError, _local_server, serve

STUBBORN = Path(__file__).with_name("stubborn_server.py")


def test_all_is_sorted_and_real():
    assert hfgen.server.__all__ == sorted(hfgen.server.__all__)
    assert all(hasattr(hfgen.server, name) for name in hfgen.server.__all__)


def test_importing_the_package_needs_no_extra():
    code = """if True:
        import sys
        import hfgen.server
        heavy = {"aiohttp", "numpy", "prometheus_client", "safetensors", "tokenizers", "torch"}
        print(sorted(heavy & sys.modules.keys()))
    """
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "[]\n"


@pytest.mark.parametrize("missing", ["prometheus_client", "numpy", "tokenizers", "safetensors"])
@pytest.mark.parametrize("start", [serve, lambda: LocalServer().start()])
def test_a_missing_extra_is_named(monkeypatch, missing, start):
    for name in [*sys.modules]:
        if name in ("hfgen.server.engine.batcher", "hfgen.server.engine.checkpoint"):
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.delattr(f"hfgen.server.engine.{name.rpartition('.')[2]}", raising=False)
    real_import = builtins.__import__

    def import_without(name, *args, **kwargs):
        if name.partition(".")[0] == missing or name.startswith("hfgen.server.engine.checkpoint"):
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without)
    with pytest.raises(
        LocalServerError, match=r"needs hfgen\[server\]: pip install 'hfgen\[server\]'"
    ):
        start()


@pytest.mark.parametrize("start", [serve, lambda **options: LocalServer(**options).start()])
def test_a_model_that_is_not_there(start, tmp_path):
    with pytest.raises(LocalServerError) as caught:
        start(model=tmp_path / "nothing")
    assert "\n" not in str(caught.value)
    assert "nothing" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_port_in_use(scripted_server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LocalServerError) as caught:
            scripted_server(port=port)
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_host_that_is_not_ours(scripted_server):
    with pytest.raises(LocalServerError, match=r"cannot listen on 192\.0\.2\.1:0: "):
        scripted_server(host="192.0.2.1")


def test_ipv6(scripted_server):
    try:
        server, _ = scripted_server(host="::1")
    except LocalServerError as error:
        pytest.skip(str(error))
    assert server.url.startswith("http://[::1]:")


def test_start_and_stop(scripted_server):
    threads_before = threading.active_count()
    server, batcher = scripted_server()
    assert batcher.started
    assert repr(server) == f"LocalServer({server.url})"
    server.stop()
    server.stop()
    assert batcher.stops == [0.0]
    assert threading.active_count() == threads_before
    with pytest.raises(LocalServerError, match="not running"):
        _ = server.url
    with pytest.raises(LocalServerError, match="started before"):
        server.start()


async def test_a_stopped_server_keeps_no_model_in_memory(monkeypatch, http):
    load_real, engines = _local_server.load_engine, []

    def load(options):
        model, batcher = load_real(options)
        engines.append(weakref.ref(model.engine))
        return model, batcher

    monkeypatch.setattr(_local_server, "load_engine", load)
    server = LocalServer().start()
    payload = {"inputs": "Once", "parameters": {"max_new_tokens": 2}}
    for path in ("/generate", "/generate_stream", "/info", "/nowhere"):
        async with http.post(server.url + path, json=payload) as response:
            await response.read()
    # With its thread the server has ended, and the server itself, which is kept, holds nothing.
    await asyncio.to_thread(server.stop)
    gc.collect()
    assert [engine() for engine in engines] == [None]


def test_stopping_a_server_that_was_never_started():
    LocalServer().stop()


def test_an_error_during_the_start_is_raised(scripted_server, monkeypatch):
    async def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(_local_server, "_serve_until_stop", fail)
    threads_before = threading.active_count()
    with pytest.raises(RuntimeError, match="no"):
        scripted_server()
    assert threading.active_count() == threads_before


def test_limits_that_contradict_the_model(local_server):
    with pytest.raises(LocalServerError, match="the model's context is"):
        LocalServer(max_total_tokens=1_000_000).start()


def test_serve_needs_the_main_thread():
    caught = []

    def run():
        try:
            serve(port=0)
        except LocalServerError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


@pytest.fixture
async def stubborn():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-Werror",
        STUBBORN,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_lets_a_running_generation_finish(
    stubborn, http, parse_events, signal_number, wait_until_refused
):
    url = (await stubborn.stdout.readline()).decode().strip()
    async with http.post(f"{url}/generate_stream", json={"inputs": "a"}) as response:
        first = await response.content.readuntil(b"\n\n")
        stubborn.send_signal(signal_number)
        await wait_until_refused(response.url.port)
        stubborn.stdin.write(b"\n")
        events = parse_events((first + await response.read()).decode())
    assert events[-1]["generated_text"] == "first last"
    assert await stubborn.communicate() == (b"stopped\n", b"")
    assert stubborn.returncode == 0


async def test_a_second_signal_stops_at_once(stubborn, http, parse_events, wait_until_refused):
    url = (await stubborn.stdout.readline()).decode().strip()
    async with http.post(f"{url}/generate_stream", json={"inputs": "a"}) as response:
        first = await response.content.readuntil(b"\n\n")
        stubborn.send_signal(signal.SIGTERM)
        await wait_until_refused(response.url.port)
        stubborn.send_signal(signal.SIGINT)
        events = parse_events((first + await response.read()).decode())
    assert events[-1] == {
        "error": "Request failed during generation: out of time",
        "error_type": "generation",
    }
    assert await stubborn.communicate() == (b"stopped\n", b"")
    assert stubborn.returncode == 0


async def test_a_signal_stops_an_idle_server_with_open_connections(stubborn):
    url = (await stubborn.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/health") as response:
            assert response.status == 200
        stubborn.send_signal(signal.SIGTERM)
        assert await stubborn.communicate() == (b"stopped\n", b"")


async def test_the_real_server_as_a_command(http):
    code = """if True:
        from hfgen.server import serve
        serve(port=0, on_ready=lambda url: print(url, flush=True))
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-Werror", "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        url = (await process.stdout.readline()).decode().strip()
        payload = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 100}}
        async with http.post(f"{url}/generate_stream", json=payload) as response:
            first = await response.content.readuntil(b"\n\n")
            process.send_signal(signal.SIGTERM)
            rest = await response.read()
        assert b'"generated_text":null' in first
        assert b'"error"' not in rest
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
