"""Proxies: which URL goes through which, and real ones, on both sides."""

import base64
import gc
import socket
import threading
import time
from contextlib import ExitStack

import pytest

import hfgen
from helpers.http_proxy import LittleProxy
from helpers.scripted_answers import answer, as_json, events, token
from helpers.transports_under_test import find_secret
from hfgen import AbortController
from hfgen._io import connecting
from hfgen._sync import sockets
from hfgen.testing import Cut, Hang, Pause

ANSWER = as_json({"generated_text": "Once upon"})
SECRET = "p%40ss:word".replace(":", "%3A")
BASIC = "Basic " + base64.b64encode(b"me:p@ss:word").decode()


@pytest.fixture(autouse=True)
def what_leaks_shows_here():
    """A leak fails the test that leaked, not the one that happens to run later."""
    yield
    gc.collect()
    assert not sockets._cuttable_sockets


@pytest.fixture
def through():
    """Start proxies: `through(...)`."""
    with ExitStack() as proxies:
        yield lambda **options: proxies.enter_context(LittleProxy(**options))


@pytest.fixture(params=["http", "https"])
def target(request, serve, authority):
    """Start servers that are reached by either scheme, with what a client needs for them."""

    def start(*script):
        if request.param == "http":
            return serve(*script), {}
        server = serve(*script, tls=authority.server("127.0.0.1"))
        return server, {"ssl": authority.client_context()}

    start.scheme = request.param
    return start


class TestParsing:
    @pytest.mark.parametrize(
        ("value", "url"),
        [
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://proxy", "http://proxy:80"),
            ("https://proxy/", "https://proxy:443"),
            ("proxy:3128", "http://proxy:3128"),
            (" http://proxy:3128/ ", "http://proxy:3128"),
            ("http://[::1]:3128", "http://[::1]:3128"),
            ("HTTP://Proxy:3128", "http://proxy:3128"),
        ],
    )
    def test_of_a_place(self, value, url):
        assert connecting.parse_proxy(value) == connecting.Proxy(url)

    def test_of_a_password(self):
        proxy = connecting.parse_proxy(f"http://me:{SECRET}@proxy:3128")
        assert proxy.url == "http://proxy:3128"
        assert proxy.headers == {"proxy-authorization": BASIC}
        assert BASIC[6:] not in f"{proxy!r} {proxy}"

    @pytest.mark.parametrize(
        "value",
        [5, b"http://proxy", True, "", "http://", "ftp://me:hidden@proxy", "http://me:hidden@:80",
         "http://me:hidden@proxy:port", "http://me:hidden@proxy:99999", "http://me:hid den@proxy",
         "http://me:hidden@pr\noxy", "socks5://me:hidden@proxy:1080"],
    )  # fmt: skip
    def test_of_what_is_none(self, side, value):
        with pytest.raises(hfgen.InvalidRequestError, match="proxy") as caught:
            side.client(proxy=value)
        assert "hid" not in str(caught.value)

    def test_socks_is_had_otherwise(self):
        with pytest.raises(hfgen.InvalidRequestError, match="from_httpx"):
            hfgen.Client(proxy="socks5h://proxy:1080")


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variables", "url", "proxy"),
        [
            ({}, "https://host/", None),
            ({"HTTPS_PROXY": "http://a:1"}, "https://host/", "http://a:1"),
            ({"https_proxy": "http://a:1"}, "https://host/", "http://a:1"),
            ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "https://host/",
             "http://a:1"),
            ({"HTTPS_PROXY": "http://a:1"}, "HTTPS://HOST/", "http://a:1"),
            ({"HTTPS_PROXY": "http://a:1"}, "http://host/", None),
            ({"HTTP_PROXY": "a:1"}, "http://host/", "http://a:1"),
            ({"HTTP_PROXY": "a:1", "REQUEST_METHOD": "GET"}, "http://host/", None),
            ({"ALL_PROXY": "a:1"}, "http://host/", "http://a:1"),
            ({"all_proxy": "a:1", "https_proxy": "b:1"}, "https://host/", "http://b:1"),
            ({"HTTPS_PROXY": ""}, "https://host/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "*"}, "https://host/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "x, host"}, "https://host/", None),
            ({"ALL_PROXY": "a:1", "no_proxy": ".host"}, "https://sub.host/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "host"}, "https://sub.host:8/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "host"}, "https://ahost/", "http://a:1"),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "host:81"}, "http://host/", "http://a:1"),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "host:80"}, "http://host/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "::1"}, "http://[::1]:80/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "[::1]"}, "http://[::1]:8080/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "[::1]:8080"}, "http://[::1]:8080/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "[::1]:8081"}, "http://[::1]:8080/", "http://a:1"),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "::2"}, "http://[::1]:8080/", "http://a:1"),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "0:0:0:0:0:0:0:1"}, "http://[::1]/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "x, 10.0.0.0/8"}, "http://10.1.2.3:8080/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "10.9.9.9/8"}, "https://10.1.2.3/", None),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3/", "http://a:1"),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "10.0.0.0/8"}, "http://[::1]/", "http://a:1"),
            ({"ALL_PROXY": "a:1", "NO_PROXY": "10.0.0.0/8"}, "http://host/", "http://a:1"),
            ({"ALL_PROXY": "a:1", "no_proxy": "a/b,fd00::/8"}, "http://[fd00::5]/", None),
            ({"ALL_PROXY": "a:1"}, "http://localhost:8080/", "http://a:1"),
            ({"ALL_PROXY": "a:1"}, "http://127.0.0.1/", "http://a:1"),
        ],
    )  # fmt: skip
    def test_names_the_proxy(self, monkeypatch, variables, url, proxy):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        found = connecting.proxy_from_environment(url)
        assert (found and found.url) == proxy

    @pytest.mark.parametrize("value", ["socks5://me:hidden@a:1", "ftp://me:hidden@a:1"])
    def test_of_a_kind_that_is_not_spoken_is_no_way_around_it(self, side, monkeypatch, value):
        monkeypatch.setenv("ALL_PROXY", value)
        error = side.failure(side.client().run, "x", api_url="http://host.invalid/")
        assert type(error) is hfgen.InvalidRequestError
        assert "ALL_PROXY" in str(error)
        assert "hidden" not in str(error)

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
    def test_is_heeded_for_http(self, side, serve, through, monkeypatch, name):
        server, proxy = serve(ANSWER), through()
        monkeypatch.setenv(name, proxy.url)
        side.run(server)
        assert proxy.request_lines == [f"POST {server.url}/generate HTTP/1.1"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        side.run(server)
        assert len(proxy.request_lines) == 1

    def test_is_heeded_for_https(self, side, serve, through, monkeypatch, authority):
        server, proxy = serve(ANSWER, tls=authority.server("127.0.0.1")), through()
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("SSL_CERT_FILE", authority.file)
        side.run(server)
        assert proxy.request_lines[0].startswith(f"CONNECT {server.url[8:]} HTTP/1.")

    def test_is_not_asked_if_there_is_an_option(self, side, serve, through, monkeypatch):
        server, unused, used = serve(ANSWER), through(), through()
        monkeypatch.setenv("ALL_PROXY", unused.url)
        monkeypatch.setenv("NO_PROXY", "*")
        side.client(proxy=used.url)
        side.run(server)
        assert (len(unused.request_lines), len(used.request_lines)) == (0, 1)

    def test_nor_if_the_option_says_none(self, side, serve, through, monkeypatch):
        server, proxy = serve(ANSWER), through()
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        side.client(proxy=False)
        side.run(server)
        assert proxy.accepted == 0


class TestOptions:
    @pytest.mark.parametrize("options", [{"proxy": "http://a:1"}, {"proxy": False}, {"ssl": "/"}])
    @pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
    def test_are_not_for_a_call(self, side, verb, options):
        [name] = options
        for place in (side.client(), side.namespace):
            with pytest.raises(TypeError, match=rf"Client\({name}=\.\.\.\)"):
                side.call(getattr(place, verb), "x", **options)

    def test_nor_for_a_copy(self, side):
        with pytest.raises(TypeError, match="share connections"):
            side.client().with_options(proxy="http://a:1")

    def test_nor_beside_a_fetch(self, side):
        with pytest.raises(hfgen.InvalidRequestError, match="proxy and ssl would have no effect"):
            side.client(proxy="http://a:1", ssl="/", fetch=print)

    def test_none_means_not_given(self, side):
        side.client(proxy=None, ssl=None, fetch=print)

    def test_show_no_password(self, side):
        client = side.client(proxy=f"http://me:{SECRET}@proxy:3128")
        assert "word" not in repr(client)
        assert find_secret(Exception(repr(vars(client))), "word") == []
        proxy = connecting.parse_proxy(f"http://me:{SECRET}@proxy:3128")
        shown = f"{proxy!r} {proxy} {proxy.__rich_repr__()}"
        assert "proxy:3128" in shown
        assert "Basic" not in shown


class TestThrough:
    def test_an_answer(self, side, target, through):
        (server, options), proxy = target(ANSWER), through()
        side.client(proxy=proxy.url, **options)
        assert side.run(server, api_key="hf_key")[0].generated_text == "Once upon"
        asked = server.request()
        assert asked.path == "/generate"
        assert asked.headers["authorization"] == "Bearer hf_key"
        if target.scheme == "http":
            assert proxy.request_lines == [f"POST {server.url}/generate HTTP/1.1"]
            assert asked.headers["host"] == server.url[7:]
        else:
            assert proxy.request_lines[0].startswith(f"CONNECT {server.url[8:]} ")
            assert "hf_key" not in proxy.heads[0]

    def test_the_path_as_it_stands(self, side, serve, through):
        server, proxy = serve(ANSWER), through()
        side.client(proxy=proxy.url)
        side.run(None, api_url=f"{server.url}/a%2Fb/../c?d=%7e")
        assert server.request().path == "/a%2Fb/../c?d=%7e"

    def test_the_connection_is_kept(self, side, target, through):
        (server, options), proxy = target(ANSWER), through()
        side.client(proxy=proxy.url, **options)
        for _ in range(3):
            side.run(server)
        assert proxy.accepted == 1

    def test_a_name_is_the_proxys_to_resolve(self, side, serve, through):
        server = serve(ANSWER)
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        proxy = through(resolve={"api.invalid": place})
        side.client(proxy=proxy.url)
        side.run(None, api_url="http://api.invalid/generate")
        assert server.request().headers["host"] == "api.invalid"

    def test_with_a_password(self, side, target, through, caplog):
        caplog.set_level("DEBUG")
        (server, options), proxy = target(ANSWER), through(authorization=BASIC)
        side.client(proxy=f"http://me:{SECRET}@127.0.0.1:{proxy.port}", **options)
        for _ in range(2):
            side.run(server)
        assert BASIC in proxy.heads[0]
        assert "proxy-authorization" not in server.request().headers
        assert BASIC[6:] not in caplog.text
        assert "word" not in caplog.text

    def test_with_a_wrong_password(self, side, target, through):
        (server, options), proxy = target(ANSWER), through(authorization="Basic other")
        client = side.client(proxy=f"http://me:{SECRET}@127.0.0.1:{proxy.port}", **options)
        error = side.failure(client.run, "x", api_url=server.url, max_retries=0)
        assert "407 Proxy Authentication Required" in str(error)
        if target.scheme == "https":
            assert type(error) is hfgen.ConnectError
            assert f"through the proxy {proxy.url}" in str(error)
        assert find_secret(error, "word") == find_secret(error, BASIC[6:]) == []
        assert server.requests == []

    def test_a_stream_left_early(self, side, target, through):
        (server, options), proxy = target(events(token("a"), token("b"), Hang())), through()
        side.client(proxy=proxy.url, **options)
        stream = side.stream_tokens(server)
        assert side.leave_by_break(stream, 1) == ["a"]
        side.wait_for(server.request().hung_up)
        side.wait_for(proxy.client_left)

    @pytest.mark.parametrize("kept", [False, True])
    def test_an_abort_while_waiting_for_the_headers(self, side, target, through, kept):
        (server, options), proxy = (
            target(*[ANSWER] * kept, answer(Hang(), framing="raw")),
            through(),
        )
        side.client(proxy=proxy.url, **options)
        if kept:
            side.run(server)
        controller = AbortController()
        thread = threading.Thread(
            target=lambda: (server.request(int(kept)), time.sleep(0.1), controller.abort())
        )
        thread.start()
        started = time.monotonic()
        with pytest.raises(hfgen.AbortError):
            side.run(server, signal=controller.signal, timeout=60)
        assert time.monotonic() - started < 5
        thread.join()
        side.wait_for(server.request(int(kept)).hung_up)

    def test_an_abort_in_mid_stream(self, side, target, through):
        (server, options), proxy = target(events(token("a"), Hang())), through()
        side.client(proxy=proxy.url, **options)
        controller = AbortController()
        stream = side.stream_tokens(server, signal=controller.signal, timeout=60)
        assert side.next(stream) == "a"
        thread = threading.Timer(0.2, controller.abort)
        thread.start()
        started = time.monotonic()
        with pytest.raises(hfgen.AbortError) as caught:
            side.next(stream)
        assert time.monotonic() - started < 5
        thread.join()
        assert caught.value.text == "a"
        side.wait_for(server.request().hung_up)

    def test_a_timeout_in_mid_stream(self, side, target, through):
        (server, options), proxy = target(events(token("a"), Hang())), through()
        side.client(proxy=proxy.url, **options)
        items = []
        with pytest.raises(hfgen.TimeoutError) as caught:
            side.collect(
                side.stream_tokens(server, timeout=hfgen.Timeout(between_tokens=0.5)), items
            )
        assert (items, caught.value.phase) == (["a"], "between_tokens")

    def test_a_break_in_mid_stream(self, side, target, through):
        (server, options), proxy = target(events(token("a"), Pause(0.1), Cut())), through()
        side.client(proxy=f"http://me:{SECRET}@127.0.0.1:{proxy.port}", **options)
        with pytest.raises(hfgen.IncompleteGenerationError) as caught:
            side.collect(side.stream_tokens(server))
        assert caught.value.text == "a"
        assert find_secret(caught.value, BASIC[6:]) == []

    def test_a_redirect(self, side, target, through):
        second, options = target(ANSWER)
        first, _ = target(answer(status=307, location=f"{second.url}/b", framing="length"))
        proxy = through()
        side.client(proxy=proxy.url, **options)
        side.run(first, api_key="hf_key")
        assert len(proxy.request_lines) == 2
        assert "authorization" not in second.request().headers

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_one_over_tls(self, side, serve, through, authority, scheme):
        script = events(token("a"), token("b"), Hang())
        tls = authority.server("127.0.0.1")
        server = serve(script, tls=tls) if scheme == "https" else serve(script)
        proxy = through(tls=authority.server_context("127.0.0.1"))
        side.client(proxy=proxy.url, ssl=authority.client_context())
        controller = AbortController()
        stream = side.stream_tokens(server, signal=controller.signal, timeout=60)
        assert [side.next(stream), side.next(stream)] == ["a", "b"]
        thread = threading.Timer(0.2, controller.abort)
        thread.start()
        started = time.monotonic()
        with pytest.raises(hfgen.AbortError):
            side.next(stream)
        assert time.monotonic() - started < 5
        thread.join()
        side.wait_for(server.request().hung_up)


class TestTrouble:
    def test_a_proxy_that_is_not_there(self, side, target):
        server, options = target(ANSWER)
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{held.getsockname()[1]}"
            client = side.client(proxy=f"http://me:{SECRET}@{place}", **options)
            error = side.failure(client.run, "x", api_url=server.url, max_retries=0)
        assert type(error) is hfgen.ConnectError
        assert f"through the proxy http://{place}" in str(error)
        assert isinstance(error.__cause__, OSError)
        assert find_secret(error, "word") == find_secret(error, BASIC[6:]) == []

    def test_a_proxy_that_refuses(self, side, serve, through, authority):
        server = serve(ANSWER, tls=authority.server("127.0.0.1"))
        proxy = through(refuse="403 Forbidden")
        client = side.client(proxy=proxy.url, ssl=authority.client_context())
        error = side.failure(client.run, "x", api_url=server.url, max_retries=0)
        assert type(error) is hfgen.ConnectError
        assert "403 Forbidden" in str(error)

    def test_a_silent_proxy(self, side, target, through):
        (server, options), proxy = target(ANSWER), through(silent=True)
        client = side.client(proxy=proxy.url, **options)
        started = time.monotonic()
        error = side.failure(client.run, "x", api_url=server.url, max_retries=0, timeout=0.3)
        assert time.monotonic() - started < 5
        assert type(error) is hfgen.TimeoutError
        assert error.phase == ("connect" if target.scheme == "https" else "first_token")
        side.wait_for(proxy.client_left)

    def test_an_abort_while_a_proxy_is_silent(self, side, target, through):
        (server, options), proxy = target(ANSWER), through(silent=True)
        client = side.client(proxy=proxy.url, **options)
        controller = AbortController()
        thread = threading.Timer(0.3, controller.abort)
        thread.start()
        started = time.monotonic()
        error = side.failure(
            client.run, "x", api_url=server.url, signal=controller.signal, timeout=60
        )
        assert time.monotonic() - started < 5
        thread.join()
        assert type(error) is hfgen.AbortError
        side.wait_for(proxy.client_left)
