"""TLS for real: whom hfgen trusts, what it says when it does not, and where the key goes."""

import gc
import os
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import hfgen
from helpers.certificates import Authority
from helpers.http_proxy import LittleProxy
from helpers.scripted_answers import answer, as_json, events, token
from helpers.transports_under_test import find_secret
from hfgen import AbortController
from hfgen._sync import sockets
from hfgen.testing import Hang

ANSWER = as_json({"generated_text": "Once upon"})
KEY = "hf_a_secret_key"


@pytest.fixture(autouse=True)
def what_leaks_shows_here():
    """A leak fails the test that leaked, not the one that happens to run later."""
    yield
    gc.collect()
    assert not sockets._cuttable_sockets


@pytest.fixture
def good(serve, authority):
    """A server that shows a good certificate."""
    return serve(ANSWER, tls=authority.server("127.0.0.1", "localhost"))


def refused(side, server, **options):
    """The error of a call that must not get through, and not tell the key."""
    client = side.client(**options)
    error = side.failure(client.run, "x", api_url=server.url, api_key=KEY, max_retries=0)
    assert type(error) is hfgen.ConnectError
    assert f"cannot connect to {server.url}" in str(error)
    assert "certificate" in str(error)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)
    assert server.requests == []
    assert find_secret(error, KEY) == []
    return str(error)


class TestTrust:
    def test_by_a_context(self, side, good, authority):
        side.client(ssl=authority.client_context())
        assert side.run(good)[0].generated_text == "Once upon"

    def test_of_a_url_in_capitals(self, side, good, authority):
        client = side.client(ssl=authority.client_context(), dialect="tgi")
        answers = side.call(client.run, "Once", api_url=good.url.replace("https", "HTTPS"))
        assert answers[0].generated_text == "Once upon"

    @pytest.mark.parametrize("kind", [str, Path])
    def test_by_a_file(self, side, good, authority, kind):
        side.client(ssl=kind(authority.file))
        assert side.run(good)[0].generated_text == "Once upon"

    @pytest.mark.skipif(sys.platform != "linux", reason="names certificates by their hash")
    def test_by_a_directory(self, side, good, authority, tmp_path):
        (tmp_path / f"{authority.hash()}.0").write_bytes(Path(authority.file).read_bytes())
        side.client(ssl=tmp_path)
        assert side.run(good)[0].generated_text == "Once upon"

    @pytest.mark.skipif(sys.platform != "linux", reason="names certificates by their hash")
    def test_by_the_variable_for_a_directory(self, side, good, authority, tmp_path, monkeypatch):
        (tmp_path / f"{authority.hash()}.0").write_bytes(Path(authority.file).read_bytes())
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        assert side.run(good)[0].generated_text == "Once upon"

    def test_by_the_variable_for_a_file(self, side, good, authority, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", authority.file)
        assert side.run(good)[0].generated_text == "Once upon"

    def test_a_file_is_in_place_of_the_system(self, side, good, authority, tmp_path, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", authority.file)
        refused(side, good, ssl=Authority(tmp_path).file)

    def test_connections_are_kept(self, side, good, authority):
        side.client(ssl=authority.client_context())
        for _ in range(3):
            side.run(good)
        assert good.connections == 1

    def test_of_both_sides(self, side, serve, authority):
        server = serve(ANSWER, tls=authority.server_context("127.0.0.1", clients=True))
        context = authority.client_context()
        context.load_cert_chain(*authority.server("me.invalid"))
        side.client(ssl=context)
        assert side.run(server)[0].generated_text == "Once upon"

    def test_is_off_only_by_a_context_that_says_so(self, side, good):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client = side.client(ssl=context)
        if side.name == "async":
            side.call(client.run, "x", api_url=good.url)
        else:
            with pytest.warns(match="Unverified HTTPS request"):
                side.call(client.run, "x", api_url=good.url)

    def test_a_context_decides_whether_the_name_counts(self, side, serve, authority):
        server = serve(ANSWER, tls=authority.server("other.invalid"))
        context = authority.client_context()
        context.check_hostname = False
        side.client(ssl=context)
        assert side.run(server)[0].generated_text == "Once upon"


class TestRefusal:
    def test_of_an_unknown_authority(self, side, good):
        said = refused(side, good)
        assert "unable to get local issuer certificate" in said
        assert "ssl= or SSL_CERT_FILE" in said

    def test_is_not_tried_again(self, side, good):
        waits = []
        client = side.client(on_retry=lambda *wait: waits.append(wait))
        error = side.failure(client.run, "x", api_url=good.url)
        assert error.is_permanent
        assert waits == []

    def test_ends_many_rows_at_once(self, side, good):
        client = side.client(api_url=good.url, dialect="tgi")
        with pytest.raises(hfgen.ConnectError, match="certificate") as caught:
            side.collect(client.generate_many(["a", "b"]))
        assert caught.value.is_permanent

    def test_of_a_wrong_host(self, side, serve, authority):
        server = serve(ANSWER, tls=authority.server("other.invalid"))
        said = refused(side, server, ssl=authority.client_context())
        assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in said
        assert "SSL_CERT_FILE" not in said

    def test_of_an_expired_certificate(self, side, serve, authority):
        server = serve(ANSWER, tls=authority.server("127.0.0.1", expired=True))
        said = refused(side, server, ssl=authority.client_context())
        assert "certificate has expired" in said

    def test_through_a_proxy(self, side, good):
        with LittleProxy() as proxy:
            said = refused(side, good, proxy=proxy.url)
        assert "unable to get local issuer certificate" in said

    def test_of_the_proxy(self, side, good, authority, tmp_path):
        context = Authority(tmp_path).server_context("127.0.0.1")
        with LittleProxy(tls=context) as proxy:
            said = refused(side, good, proxy=proxy.url, ssl=authority.client_context())
        assert f"through the proxy {proxy.url}" in said

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (False, "ssl=False would send the key"),
            (True, "not bool"),
            (5, "not int"),
            (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "for servers"),
            ("/no/such/file", "no certificates in '/no/such/file'"),
            (__file__, "no certificates in"),
            ("", "no certificates in ''"),
        ],
    )
    def test_of_what_is_no_trust(self, side, value, words):
        with pytest.raises(hfgen.InvalidRequestError, match=words):
            side.client(ssl=value)


class TestKeyLog:
    @pytest.fixture(params=["no/such/folder/keys", "."])
    def unwritable(self, request, tmp_path, monkeypatch):
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / request.param))

    @pytest.mark.usefixtures("unwritable")
    @pytest.mark.parametrize("trusts", [False, True])
    def test_that_cannot_be_written_is_an_error_of_the_client(self, side, authority, trusts):
        options = {"ssl": authority.file} if trusts else {}
        with pytest.raises(hfgen.InvalidRequestError, match="SSLKEYLOGFILE names") as caught:
            side.client(**options)
        assert isinstance(caught.value.__cause__, OSError)

    def test_that_cannot_be_written_any_more(self, side, good, monkeypatch):
        client = side.client()
        monkeypatch.setenv("SSLKEYLOGFILE", "/no/such/folder/keys")
        error = side.failure(client.run, "x", api_url=good.url)
        assert type(error) is hfgen.InvalidRequestError
        assert "SSLKEYLOGFILE" in str(error)

    def test_that_can_be_written_has_the_keys(self, side, good, authority, tmp_path, monkeypatch):
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        side.client(ssl=authority.file)
        side.run(good)
        assert "TRAFFIC_SECRET" in (tmp_path / "keys").read_text()

    def test_before_aiohttp_is_imported(self):
        program = "import hfgen; hfgen.AsyncClient()"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
            env={**os.environ, "SSLKEYLOGFILE": "/no/such/folder/keys"}, check=False,
        )  # fmt: skip
        assert "InvalidRequestError: SSLKEYLOGFILE names '/no/such/folder/keys'" in done.stderr


class TestRedirects:
    def test_take_no_key_to_another_host(self, side, serve, authority):
        tls = authority.server("127.0.0.1", "localhost")
        target = serve(ANSWER, tls=tls)
        elsewhere = target.url.replace("127.0.0.1", "localhost") + "/b"
        server = serve(answer(status=308, location=elsewhere, framing="length"), tls=tls)
        side.client(ssl=authority.client_context())
        side.run(server, api_key=KEY, headers={"x-secret": KEY, "cookie": KEY})
        assert server.request().headers["authorization"] == f"Bearer {KEY}"
        asked = target.request()
        assert (asked.method, asked.json["inputs"]) == ("POST", "Once")
        assert KEY not in str(dict(asked.headers))

    def test_nor_to_plain_http(self, side, serve, authority):
        target = serve(ANSWER)
        location = f"{target.url}/b"
        server = serve(
            answer(status=307, location=location, framing="length"),
            tls=authority.server("127.0.0.1"),
        )
        side.client(ssl=authority.client_context())
        side.run(server, api_key=KEY)
        assert "authorization" not in target.request().headers

    def test_to_whom_one_cannot_trust_are_refused(self, side, serve, authority, tmp_path):
        target = serve(ANSWER, tls=Authority(tmp_path).server("127.0.0.1"))
        server = serve(
            answer(status=307, location=target.url, framing="length"),
            tls=authority.server("127.0.0.1"),
        )
        client = side.client(ssl=authority.client_context())
        error = side.failure(client.run, "x", api_url=server.url, max_retries=0)
        assert type(error) is hfgen.ConnectError
        assert f"cannot connect to {target.url}" in str(error)


class TestTime:
    @pytest.fixture
    def mute(self):
        """A server that accepts, and says nothing in the handshake."""
        with LittleProxy(silent=True) as server:
            server.url = server.url.replace("http:", "https:")
            yield server

    def test_a_handshake_that_does_not_come_is_no_connection(self, side, mute):
        started = time.monotonic()
        error = side.failure(
            side.client().run,
            "x",
            api_url=mute.url,
            timeout=hfgen.Timeout(connect=0.3),
            max_retries=0,
        )
        assert time.monotonic() - started < 5
        assert type(error) is hfgen.TimeoutError
        assert error.phase == "connect"
        side.wait_for(mute.client_left)

    def test_an_abort_wakes_from_a_handshake(self, side, mute):
        controller = AbortController()
        thread = threading.Timer(0.3, controller.abort)
        thread.start()
        started = time.monotonic()
        error = side.failure(
            side.client().run, "x", api_url=mute.url, signal=controller.signal, timeout=60
        )
        assert time.monotonic() - started < 5
        thread.join()
        assert type(error) is hfgen.AbortError
        side.wait_for(mute.client_left)

    def test_leaving_a_stream_is_seen(self, side, serve, authority):
        server = serve(events(token("a"), Hang()), tls=authority.server("127.0.0.1"))
        side.client(ssl=authority.client_context())
        side.leave_by_break(side.stream_tokens(server), 1)
        side.wait_for(server.request().hung_up)
