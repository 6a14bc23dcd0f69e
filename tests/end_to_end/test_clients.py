"""Clients: options, pools, closing, sharing, threads, loops, forks."""

import asyncio
import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import hfgen
from helpers.scripted_answers import as_json, events, token
from hfgen.testing import Hang, Pause


@pytest.fixture(autouse=True)
def collect_garbage():
    """Collect garbage after each test, so that a leak fails the test that leaked."""
    yield
    gc.collect()


STORY = (token("a"), token("b", last="ab"))
ANSWER = as_json({"generated_text": "a"})


def run_script(script):
    """Run a script in a process of its own, where a warning is an error and a leak shows."""
    command = [sys.executable, "-W", "error", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.stderr == ""
    assert process.returncode == 0
    return process.stdout


class TestOptions:
    def test_options_of_a_call_replace_those_of_the_client(self, side, serve):
        server = serve(ANSWER)
        client = side.client(
            api_url=f"{server.url}/a", api_key="one", headers={"x-a": "1", "x-b": "1"}
        )
        side.call(client.run, "x")
        side.call(client.run, "x", api_url=f"{server.url}/b", api_key="two", headers={"X-B": "2"})
        side.call(client.run, "x")
        first, second, third = (server.request(index) for index in range(3))
        assert (first.path, second.path, third.path) == ("/a", "/b", "/a")
        assert first.headers == third.headers
        assert second.headers["authorization"] == "Bearer two"
        assert (second.headers["x-a"], second.headers["x-b"]) == ("1", "2")

    def test_headers_replace_the_defaults_except_content_type(self, side, serve):
        server = serve(ANSWER)
        mine = {
            "Content-Type": "text/plain",
            "User-Agent": "mine",
            "Authorization": "Basic x",
            "ACCEPT": "*/*",
        }
        side.run(server, headers=mine, api_key="hf_key")
        headers = server.request().headers
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == "mine"
        assert headers["authorization"] == "Basic x"
        assert headers["accept"] == "*/*"

    def test_without_a_key_there_is_no_authorization(self, side, serve):
        server = serve(ANSWER)
        side.run(server)
        headers = server.request().headers
        assert "authorization" not in headers
        assert headers["user-agent"].startswith("hfgen/")
        assert headers["accept-encoding"] == "identity"

    def test_the_url_of_the_environment(self, side, serve, monkeypatch):
        server = serve(ANSWER)
        monkeypatch.setenv("HFGEN_API_URL", f"{server.url}/models/")
        side.run(None, {"model": "owner/name", "inputs": "x"})
        assert server.request().path == "/models/owner/name"
        assert "model" not in server.request().json

    def test_the_model_of_the_environment(self, side, serve, monkeypatch):
        server = serve(ANSWER)
        monkeypatch.setenv("HFGEN_MODEL", "owner/ambient")
        side.run(server)
        side.run(server, {"inputs": "x", "model": "owner/own"})
        assert [r.json["model"] for r in server.requests] == ["owner/ambient", "owner/own"]

    def test_without_a_model_the_error_tells_what_to_type(self, side):
        error = side.failure(side.client().run, "x")
        for hint in ('model="owner/name"', "HFGEN_MODEL", "api_url=", "HFGEN_API_URL"):
            assert hint in error.message

    @pytest.mark.parametrize(
        "path",
        ["/a/../b", "/a//b", "/a%2Fb", "/%7Euser", "/a?x=1&y=%20", "/a?x=a+b", "/a;b=c", "/a/."],
    )
    def test_an_api_url_is_used_as_it_stands(self, side, serve, path):
        server = serve(ANSWER)
        side.run(None, api_url=server.url + path)
        assert server.request().path == path

    def test_a_fragment_of_the_url_is_not_sent(self, side, serve):
        server = serve(ANSWER)
        side.run(None, api_url=f"{server.url}/a#b")
        assert server.request().path == "/a"

    def test_a_url_that_is_not_ascii_is_encoded(self, side, serve):
        server = serve(ANSWER)
        side.run(None, api_url=f"{server.url}/é")
        assert server.request().path.lower() == "/%c3%a9"

    @pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
    def test_unknown_options_are_type_errors(self, side, serve, verb):
        with pytest.raises(TypeError, match=r"api_kee.*api_key"):
            getattr(side, verb)(serve(ANSWER), api_kee="x")
        with pytest.raises(TypeError, match="nonsense"):
            getattr(side, verb)(serve(ANSWER), nonsense=1)
        with pytest.raises(TypeError, match="nonsense"):
            side.client(nonsense=1)
        with pytest.raises(TypeError, match="nonsense"):
            side.client().with_options(nonsense=1)

    def test_options_are_keywords_only(self, side):
        with pytest.raises(TypeError):
            side.client("hf_key")
        with pytest.raises(TypeError):
            side.call(side.client().run, "x", "hf_key")


class TestWithOptions:
    def test_it_shares_the_connections(self, side, serve):
        server = serve(ANSWER)
        client = side.client(api_url=f"{server.url}/a")
        other = client.with_options(api_url=f"{server.url}/b", timeout=5)
        for sharing in (client, other, client, other.with_options(max_retries=0)):
            side.call(sharing.run, "x")
        assert [request.path for request in server.requests] == ["/a", "/b", "/a", "/b"]
        assert server.connections == 1
        assert type(other) is type(client)

    def test_it_changes_nothing_in_the_first(self, side):
        client = side.client(api_url="http://a", headers={"a": "1"})
        repr_before = repr(client)
        client.with_options(api_url="http://b", headers={"b": "2"}, api_key="k")
        assert repr(client) == repr_before

    def test_closing_it_leaves_the_first_open(self, side, serve):
        server = serve(ANSWER)
        client = side.client(api_url=server.url)
        side.call(client.run, "x")
        other = client.with_options(timeout=5)
        side.close_client(other)
        with pytest.raises(hfgen.HfgenError, match="closed"):
            side.call(other.run, "x")
        side.call(client.run, "x")
        assert server.connections == 1

    def test_it_closes_with_the_first(self, side, serve):
        client = side.client(api_url=serve(ANSWER).url)
        other = client.with_options(timeout=5)
        side.close_client(client)
        with pytest.raises(hfgen.HfgenError, match="closed"):
            side.call(other.run, "x")

    def test_it_keeps_subclasses(self, side):
        class Mine(side.client_class):
            pass

        client = Mine()
        side._clients.append(client)
        assert type(client.with_options(timeout=1)) is Mine


class TestClosing:
    @pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
    def test_a_closed_client_makes_no_calls(self, side, serve, verb):
        client = side.client(api_url=serve(ANSWER).url)
        side.close_client(client)
        side.close_client(client)
        with pytest.raises(hfgen.HfgenError, match="closed"):
            side.call(getattr(client, verb), "x")

    def test_idle_connections_are_closed(self, side, serve):
        server = serve(ANSWER)
        client = side.client(api_url=server.url)
        side.call(client.run, "x")
        side.close_client(client)
        assert server.wait_until_left(1)

    def test_connections_that_an_error_holds_are_closed(self, side, serve):
        server = serve(as_json({"error": "no"}, 400))
        client = side.client(api_url=server.url)
        error = side.failure(client.run, "x")
        side.close_client(client)
        assert server.wait_until_left(1)
        assert error.__traceback__ is not None

    def test_open_streams_continue_or_end_in_an_error_of_hfgen(self, side, serve):
        server = serve(events(token("a"), Pause(0.3), token("b", last="ab")))
        client = side.client(api_url=server.url)
        stream = side.call(client.stream_tokens, "x")
        assert side.next(stream) == "a"
        side.close_client(client)
        items = []
        if side.name == "sync":
            assert side.collect(stream, items) == ["b"]
            return
        with pytest.raises(hfgen.HfgenError) as caught:
            side.collect(stream, items)
        assert caught.value.text == "a"

    def test_a_client_is_a_context_manager(self, serve):
        server = serve(ANSWER)
        with hfgen.Client(api_url=server.url) as client:
            assert client.run("x")
        with pytest.raises(hfgen.HfgenError, match="closed"):
            client.run("x")

    def test_an_async_client_is_a_context_manager(self, serve):
        server = serve(ANSWER)

        async def main():
            async with hfgen.AsyncClient(api_url=server.url) as client:
                assert await client.run("x")
            with pytest.raises(hfgen.HfgenError, match="closed"):
                await client.run("x")

        asyncio.run(main())

    def test_a_client_that_is_forgotten_leaks_nothing(self, serve):
        server = serve(events(*STORY))
        client = hfgen.Client(api_url=server.url)
        assert list(client.stream_tokens("x")) == ["a", "b"]
        del client
        gc.collect()
        assert server.wait_until_left(1)

    def test_an_async_client_that_is_forgotten_leaks_nothing(self, serve):
        server = serve(events(*STORY))

        async def main():
            client = hfgen.AsyncClient(api_url=server.url)
            assert [text async for text in await client.stream_tokens("x")] == ["a", "b"]

        asyncio.run(main())
        gc.collect()
        assert server.wait_until_left(1)


class TestShared:
    def test_the_static_methods_share_a_client(self, side, serve):
        server = serve(ANSWER, events(*STORY), ANSWER)
        url = server.url
        side.call(side.namespace.run, "x", api_url=url)
        assert side.collect(side.call(side.namespace.stream_tokens, "x", api_url=url)) == ["a", "b"]
        side.call(side.namespace.run, "x", api_url=url, api_key="one")
        assert server.connections == 1
        # Options of a call are of that call.
        side.call(side.namespace.run, "x", api_url=url)
        assert "authorization" not in server.request(3).headers

    @pytest.mark.parametrize("verb", ["stream", "stream_bytes"])
    def test_the_other_static_methods(self, side, serve, verb):
        server = serve(events(*STORY))
        stream = side.call(getattr(side.namespace, verb), "x", api_url=server.url)
        assert side.collect(stream)

    def test_one_loop_after_another_leaves_nothing(self, serve):
        server = serve(ANSWER, events(*STORY))
        script = f"""
import asyncio, gc
from hfgen import AsyncHuggingFaceTextGeneration as Generation
async def main():
    await Generation.run("x", api_url={server.url!r})
    stream = await Generation.stream_tokens("x", api_url={server.url!r})
    return [text async for text in stream]
for _ in range(3):
    asyncio.run(main())
    gc.collect()
"""
        run_script(script)
        assert len(server.requests) == 6
        assert server.connections == 3

    def test_a_stream_left_open_at_the_end_of_a_loop_leaves_nothing(self, serve):
        server = serve(events(token("a"), Hang()))
        script = f"""
import asyncio, gc
from hfgen import AsyncHuggingFaceTextGeneration as Generation
async def main():
    stream = await Generation.stream_tokens("x", api_url={server.url!r})
    await anext(stream)
    return stream
streams = [asyncio.run(main()) for _ in range(2)]
gc.collect()
streams.clear()
gc.collect()
"""
        run_script(script)

    def test_a_process_that_ends_in_a_stream_leaves_nothing(self, serve):
        server = serve(events(token("a"), Hang()))
        script = f"""
from hfgen import HuggingFaceTextGeneration as Generation
stream = Generation.stream_tokens("x", api_url={server.url!r})
next(stream)
"""
        run_script(script)
        assert server.request().hung_up.wait(10)

    @pytest.mark.skipif(sys.platform != "linux", reason="forks")
    def test_a_forked_child_has_its_own_connections(self, serve):
        server = serve(ANSWER)
        script = f"""
import os
from hfgen import HuggingFaceTextGeneration as Generation
Generation.run("x", api_url={server.url!r})
child = os.fork()
if not child:
    Generation.run("x", api_url={server.url!r})
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
Generation.run("x", api_url={server.url!r})
"""
        run_script(script)
        assert [request.connection for request in server.requests] == [1, 2, 1]

    @pytest.mark.skipif(sys.platform != "linux", reason="forks")
    def test_a_forked_child_that_uses_its_parents_client_has_its_own_connections(self, serve):
        server = serve(ANSWER)
        script = f"""
import os, hfgen
with hfgen.Client(api_url={server.url!r}) as client:
    client.run("x")
    child = os.fork()
    if not child:
        client.run("x")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.run("x")
"""
        run_script(script)
        assert [request.connection for request in server.requests] == [1, 2, 1]


class TestMany:
    def test_threads_on_one_client(self, serve):
        texts = [f"{n} " for n in range(20)]
        steps = [step for text in texts for step in (token(text), Pause(0.002))]
        server = serve(events(*steps, token("!", last="".join(texts) + "!")))
        with hfgen.Client(api_url=server.url) as client, ThreadPoolExecutor(20) as threads:
            barrier = threading.Barrier(20)

            def read(_):
                barrier.wait(30)
                return ["".join(client.stream_tokens("x")) for _ in range(3)]

            results = list(threads.map(read, range(20)))
        assert results == [["".join(texts) + "!"] * 3] * 20
        assert server.connections <= 25

    def test_tasks_on_one_client(self, serve):
        server = serve(events(token("a"), Pause(0.1), token("b", last="ab")))

        async def read(client):
            return [text async for text in await client.stream_tokens("x")]

        async def main():
            async with hfgen.AsyncClient(api_url=server.url) as client:
                return await asyncio.gather(*(read(client) for _ in range(100)))

        assert asyncio.run(main()) == [["a", "b"]] * 100

    def test_loops_in_threads_on_one_async_client(self, serve):
        server = serve(ANSWER)
        client = hfgen.AsyncClient(api_url=server.url)

        def loop(_):
            async def main():
                return [(await client.run("x"))[0].generated_text for _ in range(2)]

            return [asyncio.run(main()) for _ in range(3)]

        with ThreadPoolExecutor(10) as threads:
            assert list(threads.map(loop, range(10))) == [[["a", "a"]] * 3] * 10
        gc.collect()

    def test_closing_a_stream_from_another_thread_ends_its_reader(self, serve):
        server = serve(events(token("a"), Hang()))
        with hfgen.Client(api_url=server.url) as client:
            stream = client.stream_tokens("x", timeout=60)
            assert next(stream) == "a"
            threading.Timer(0.2, stream.close).start()
            with pytest.raises(hfgen.HfgenError):
                next(stream)


class TestRepr:
    def test_the_repr_shows_no_key(self, side):
        client = side.client(api_key="hf_key", headers={"Authorization": "Bearer hf_key"})
        assert "hf_key" not in repr(client)
        assert type(client).__name__ in repr(client)

    def test_the_repr_shows_no_key_in_the_url(self, side):
        assert "hf_key" not in repr(side.client(api_url="http://host/?token=hf_key"))
