"""What is particular to an adapter: what it takes, and what of a client it leaves alone."""

import gc
import inspect
import subprocess
import sys

import aiohttp
import httpx
import httpx2
import pytest
import requests
from aiohttp import BasicAuth

import hfgen
from helpers.http_proxy import LittleProxy
from helpers.scripted_answers import answer, as_json, events, token
from hfgen import AbortController, fetch
from hfgen.fetch import from_aiohttp, from_asgi, from_httpx, from_requests
from hfgen.testing import Hang

ANSWER = as_json({"generated_text": "a"}, set_cookie="a=b; Path=/")
KEY = "hf_a_secret_key"


def test_the_door():
    assert fetch.__all__ == sorted(fetch.__all__)
    public = {n for n, v in vars(fetch).items() if not n.startswith("_") and callable(v)}
    assert public == set(fetch.__all__)
    assert all(inspect.getdoc(getattr(fetch, name)) for name in fetch.__all__)


def test_importing_it_imports_no_library():
    script = "import sys, hfgen.fetch; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"aiohttp", "httpx", "httpx2", "requests", "urllib3"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("library", "client"), [("httpx", "httpx2.Client()"), ("httpx2", "httpx.Client()")]
)
def test_either_httpx_does_without_the_other(library, client):
    script = f"""
import sys
sys.modules[{library!r}] = None
import {client.partition(".")[0]}, hfgen.fetch
with {client} as client:
    hfgen.fetch.from_httpx(client)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


@pytest.mark.parametrize("make", [from_httpx, from_requests, from_aiohttp, from_asgi])
@pytest.mark.parametrize("value", [None, 5, "client", object()])
def test_what_is_no_client_is_a_type_error(make, value):
    with pytest.raises(TypeError, match=make.__name__):
        make(value)


@pytest.mark.parametrize("value", [httpx.Client, httpx2.AsyncClient, httpx.HTTPTransport, httpx])
def test_nor_is_a_class_or_a_module(value):
    with pytest.raises(TypeError, match="from_httpx takes"):
        from_httpx(value)


@pytest.mark.parametrize(("library"), [httpx, httpx2])
def test_a_subclass_is_a_client(library, serve):
    class Mine(library.Client):
        pass

    with Mine(verify=False) as client:
        hfgen.Client(fetch=from_httpx(client)).run("x", api_url=serve(ANSWER).url)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_the_side_is_that_of_the_client(library):
    transport = library.MockTransport(lambda _: library.Response(200))
    with library.Client(transport=transport) as client, pytest.raises(TypeError):
        side_call(hfgen.AsyncClient(fetch=from_httpx(client)).run, "x", api_url="http://host/")
    client = library.AsyncClient(transport=transport)
    with pytest.raises(TypeError, match="FetchResponse"):
        hfgen.Client(fetch=from_httpx(client)).run("x", api_url="http://host/")


def side_call(function, *args, **options):
    import asyncio  # noqa: PLC0415

    async def call():
        return await function(*args, **options)

    return asyncio.run(call())


class TestHttpx:
    @pytest.mark.parametrize("library", [httpx, httpx2])
    def test_what_the_client_has_for_all_is_not_sent(self, library, serve):
        server = serve(ANSWER)
        with library.Client(
            verify=False, headers={"x-mine": KEY}, cookies={"c": KEY}, auth=("me", KEY),
            params={"p": KEY}, base_url="http://elsewhere.invalid", follow_redirects=True,
        ) as client:  # fmt: skip
            hfgen.Client(fetch=from_httpx(client)).run("x", api_url=f"{server.url}/a")
        asked = server.request()
        assert asked.path == "/a"
        assert KEY not in str(dict(asked.headers))
        assert "authorization" not in asked.headers

    @pytest.mark.parametrize("library", [httpx, httpx2])
    def test_its_proxy_is_used(self, library, serve, authority):
        server = serve(events(token("a"), Hang()), tls=authority.server("127.0.0.1"))
        with (
            LittleProxy() as proxy,
            library.Client(verify=authority.client_context(), proxy=proxy.url) as client,
        ):
            stream = hfgen.Client(fetch=from_httpx(client)).stream_tokens("x", api_url=server.url)
            assert next(stream) == "a"
            assert proxy.request_lines[0].startswith("CONNECT")
            stream.close()
            assert server.request().hung_up.wait(10)

    @pytest.mark.parametrize("library", [httpx, httpx2])
    def test_an_abort_wakes_from_a_handshake(self, library):
        controller = AbortController()
        with LittleProxy(silent=True) as mute, library.Client(verify=True) as client:
            hfgen_client = hfgen.Client(fetch=from_httpx(client))
            thread = threading_timer(controller)
            with pytest.raises(hfgen.AbortError):
                hfgen_client.run(
                    "x", api_url=mute.url.replace("http", "https"), signal=controller.signal
                )
            thread.join()
            assert mute.client_left.wait(10)

    def test_a_refused_certificate(self, serve, authority):
        server = serve(ANSWER, tls=authority.server("127.0.0.1"))
        with (
            httpx.Client() as client,
            pytest.raises(hfgen.ConnectError, match="its certificate is refused"),
        ):
            hfgen.Client(fetch=from_httpx(client)).run("x", api_url=server.url, max_retries=0)

    def test_a_transport_of_its_own(self):
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"generated_text": "a"}))
        with httpx.Client(transport=transport) as client:
            told = hfgen.Client(fetch=from_httpx(client)).run("x", api_url="http://host/")
        assert told[0].generated_text == "a"

    def test_a_client_that_is_closed_is_the_callers_mistake(self):
        client = httpx.Client(verify=False)
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            hfgen.Client(fetch=from_httpx(client)).run("x", api_url="http://127.0.0.1:9/")


def threading_timer(controller):
    import threading  # noqa: PLC0415

    thread = threading.Timer(0.3, controller.abort)
    thread.start()
    return thread


class TestRequests:
    def test_what_the_session_has_for_all_is_not_sent(self, serve, tmp_path, monkeypatch):
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login me password {KEY}\n")
        monkeypatch.setenv("NETRC", str(netrc))
        server = serve(ANSWER)
        with requests.Session() as session:
            session.headers["x-mine"] = KEY
            session.auth = ("me", KEY)
            session.params = {"p": KEY}
            session.cookies["c"] = KEY
            hfgen.Client(fetch=from_requests(session)).run("x", api_url=f"{server.url}/a")
        asked = server.request()
        assert asked.path == "/a"
        assert KEY not in str(dict(asked.headers))
        assert "authorization" not in asked.headers

    def test_a_redirect_without_end_is_not_read(self, serve):
        server = serve(answer(b"x" * 100, Hang(), status=307, location="/b"))
        request = hfgen.FetchRequest(method="POST", url=server.url, headers={}, timeout=10)
        with requests.Session() as session:
            response = from_requests(session)(request)
            assert response.status == 307
            response.close()
        assert server.request().hung_up.wait(10)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_its_proxies_and_its_trust_are_used(self, serve, authority, scheme):
        options = {"tls": authority.server("127.0.0.1")} if scheme == "https" else {}
        server = serve(ANSWER, events(token("a"), Hang()), **options)
        with LittleProxy() as proxy, requests.Session() as session:
            session.proxies = {"http": proxy.url, "https": proxy.url}
            session.verify = authority.file
            client = hfgen.Client(fetch=from_requests(session), api_url=f"{server.url}/a%2fb?c=[d]")
            client.run("x")
            stream = client.stream_tokens("x")
            assert next(stream) == "a"
            stream.close()
            assert server.request(1).hung_up.wait(10)
        assert len(proxy.request_lines) >= 1
        assert server.request().path == "/a%2fb?c=[d]"

    def test_a_refused_certificate(self, serve, authority):
        server = serve(ANSWER, tls=authority.server("127.0.0.1"))
        with (
            requests.Session() as session,
            pytest.raises(hfgen.ConnectError, match="its certificate is refused"),
        ):
            hfgen.Client(fetch=from_requests(session)).run("x", api_url=server.url, max_retries=0)

    def test_an_abort_wakes_from_a_handshake(self):
        controller = AbortController()
        with LittleProxy(silent=True) as mute, requests.Session() as session:
            thread = threading_timer(controller)
            with pytest.raises(hfgen.AbortError):
                hfgen.Client(fetch=from_requests(session)).run(
                    "x", api_url=mute.url.replace("http", "https"), signal=controller.signal
                )
            thread.join()
            assert mute.client_left.wait(10)

    def test_the_session_goes_on_being_of_use(self, serve):
        server = serve(ANSWER)
        with requests.Session() as session:
            hfgen.Client(fetch=from_requests(session)).run("x", api_url=server.url)
            assert session.get(f"{server.url}/b").json() == {"generated_text": "a"}
        assert server.connections == 1


class TestAiohttp:
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    async def test_secrets_of_the_session_are_not_sent(self, serve):
        other = serve(ANSWER)
        server = serve(answer(b"", status=307, location=f"{other.url}/generate"))
        secrets = {"x-api-key": KEY, "CF-Access-Client-Secret": KEY, "Authorization": KEY}
        for own in ({"headers": secrets, "cookies": {"a": KEY}}, {"auth": BasicAuth("me", KEY)}):
            jar = aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(cookie_jar=jar, **own) as session:
                client = hfgen.AsyncClient(fetch=from_aiohttp(session), dialect="tgi")
                await client.run("x", api_url=server.url)
        for request in (*server.requests, *other.requests):
            assert KEY not in str(request.headers)
            assert "authorization" not in request.headers

    async def test_passwords_of_a_netrc_are_not_sent(self, serve, tmp_path, monkeypatch):
        netrc = tmp_path / "netrc"
        netrc.write_text(f"default login me password {KEY}")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        server = serve(ANSWER)
        async with aiohttp.ClientSession(trust_env=True) as session:
            client = hfgen.AsyncClient(fetch=from_aiohttp(session), dialect="tgi")
            await client.run("x", api_url=server.url, api_key="mine")
            await client.run("x", api_url=server.url)
        assert [r.headers.get("authorization") for r in server.requests] == ["Bearer mine", None]

    async def test_trust_env_is_the_proxy_of_the_environment(self, serve, monkeypatch):
        server = serve(ANSWER)
        with LittleProxy() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            async with aiohttp.ClientSession(trust_env=True) as session:
                client = hfgen.AsyncClient(fetch=from_aiohttp(session), dialect="tgi")
                await client.run("x", api_url=server.url)
        assert len(proxy.request_lines) == 1

    async def test_a_fetch_that_is_dropped_leaves_the_session_open(self, serve):
        server = serve(ANSWER)
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                client = hfgen.AsyncClient(fetch=from_aiohttp(session), dialect="tgi")
                await client.run("x", api_url=server.url)
                del client
                gc.collect()
        assert server.connections == 1
        with pytest.raises(hfgen.HfgenError, match="session is closed"):
            await hfgen.AsyncClient(fetch=from_aiohttp(session)).run("x", api_url=server.url)

    async def test_statuses_are_hfgens_to_judge(self, serve):
        server = serve(as_json({"error": "no"}, 404))
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            client = hfgen.AsyncClient(fetch=from_aiohttp(session))
            with pytest.raises(hfgen.NotFoundError, match="no"):
                await client.run("x", api_url=server.url)

    async def test_its_proxy_is_used(self, serve):
        server = serve(ANSWER)
        with LittleProxy() as proxy:
            async with aiohttp.ClientSession(proxy=proxy.url) as session:
                client = hfgen.AsyncClient(fetch=from_aiohttp(session), dialect="tgi")
                await client.run("x", api_url=server.url)
        assert len(proxy.request_lines) == 1
