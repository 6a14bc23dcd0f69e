"""The key that the environment offers: which, and to whom it goes."""

import logging
import os

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from helpers.sync_and_async import reply
from hfgen._io.environment import ENVIRONMENT, is_tracking_allowed, read_variable, user_agent

HUB = "https://router.huggingface.co/hf-inference/models/gpt2"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory with nothing in it, and the default places."""
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(path, text="hf_file"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.usefixtures("home")
class TestOrder:
    def test_nothing(self):
        assert ENVIRONMENT.find_key(HUB) is None

    def test_from_first_to_last(self, home, monkeypatch):
        write(home / ".cache/huggingface/token", "hf_default")
        assert ENVIRONMENT.find_key(HUB) == "hf_default"
        write(home / "xdg/huggingface/token", "hf_xdg")
        monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
        assert ENVIRONMENT.find_key(HUB) == "hf_xdg"
        write(home / "hf/token", "hf_home")
        monkeypatch.setenv("HF_HOME", str(home / "hf"))
        assert ENVIRONMENT.find_key(HUB) == "hf_home"
        monkeypatch.setenv("HF_TOKEN_PATH", write(home / "elsewhere", "hf_path"))
        assert ENVIRONMENT.find_key(HUB) == "hf_path"
        monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_old")
        assert ENVIRONMENT.find_key(HUB) == "hf_old"
        monkeypatch.setenv("HF_TOKEN", "hf_new")
        assert ENVIRONMENT.find_key(HUB) == "hf_new"

    def test_it_is_the_order_of_huggingface_hub(self, monkeypatch):
        pytest.importorskip("huggingface_hub")
        from huggingface_hub.utils import _auth  # noqa: PLC0415

        for values in [("a", "b"), ("", "b"), (" a ", ""), ("a\n", "b"), ("", "")]:
            for name, value in zip(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), values, strict=True):
                monkeypatch.setenv(name, value)
            assert ENVIRONMENT.find_key(HUB) == _auth._get_token_from_environment()

    def test_a_tilde_is_home(self, home, monkeypatch):
        write(home / "hf/token", "hf_home")
        monkeypatch.setenv("HF_HOME", "~/hf")
        assert ENVIRONMENT.find_key(HUB) == "hf_home"
        monkeypatch.setenv("HF_TOKEN_PATH", "~/path")
        write(home / "path", "hf_path")
        assert ENVIRONMENT.find_key(HUB) == "hf_path"

    def test_variables_are_replaced(self, home, monkeypatch):
        monkeypatch.setenv("SCRATCH", str(home / "scratch"))
        write(home / "scratch/xdg/huggingface/token", "hf_xdg")
        monkeypatch.setenv("XDG_CACHE_HOME", "$SCRATCH/xdg")
        assert ENVIRONMENT.find_key(HUB) == "hf_xdg"
        write(home / "scratch/hf/token", "hf_home")
        monkeypatch.setenv("HF_HOME", "${SCRATCH}/hf")
        assert ENVIRONMENT.find_key(HUB) == "hf_home"
        write(home / "scratch/path", "hf_path")
        monkeypatch.setenv("HF_TOKEN_PATH", "$SCRATCH/path")
        assert ENVIRONMENT.find_key(HUB) == "hf_path"
        monkeypatch.setenv("HF_TOKEN_PATH", "$NO_SUCH_VARIABLE/path")
        assert ENVIRONMENT.find_key(HUB) is None

    @pytest.mark.parametrize("text", ["hf_file\n", "  hf_file \r\n", "hf_file"])
    def test_white_space_around_it_does_not_count(self, home, monkeypatch, text):
        write(home / ".cache/huggingface/token", text)
        assert ENVIRONMENT.find_key(HUB) == "hf_file"
        monkeypatch.setenv("HF_TOKEN", text)
        assert ENVIRONMENT.find_key(HUB) == "hf_file"

    @pytest.mark.parametrize("value", ["", " ", "\n"])
    def test_an_empty_one_is_none(self, home, monkeypatch, value):
        monkeypatch.setenv("HF_TOKEN", value)
        write(home / ".cache/huggingface/token", value)
        assert ENVIRONMENT.find_key(HUB) is None

    def test_a_file_that_cannot_be_read_is_none(self, home, monkeypatch):
        path = home / "token"
        monkeypatch.setenv("HF_TOKEN_PATH", str(path))
        assert ENVIRONMENT.find_key(HUB) is None
        path.mkdir()
        assert ENVIRONMENT.find_key(HUB) is None
        path.rmdir()
        write(path, b"\xff\xfe")
        assert ENVIRONMENT.find_key(HUB) is None

    @pytest.mark.parametrize("name", ["HF_HOME", "HF_TOKEN_PATH", "XDG_CACHE_HOME"])
    def test_a_home_that_does_not_exist_is_none(self, monkeypatch, name):
        monkeypatch.setenv(name, "~no-such-user-here/x")
        assert ENVIRONMENT.find_key(HUB) is None

    @pytest.mark.parametrize("value", ["1", "true", "YES", "On"])
    def test_it_can_be_turned_off(self, monkeypatch, value):
        monkeypatch.setenv("HF_TOKEN", "hf_new")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", value)
        assert ENVIRONMENT.find_key(HUB) is None

    @pytest.mark.parametrize("value", ["0", "", "false", "no"])
    def test_it_can_be_left_on(self, monkeypatch, value):
        monkeypatch.setenv("HF_TOKEN", "hf_new")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", value)
        assert ENVIRONMENT.find_key(HUB) == "hf_new"


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/x",
        "https://router.huggingface.co/x",
        "https://a.b.huggingface.co/x",
        "https://abc.eu-west-1.aws.endpoints.huggingface.cloud/generate",
        "https://HuggingFace.CO/x",
        "https://huggingface.co:443/x",
        "HTTPS://huggingface.co/x",
    ],
)
def test_it_goes_to_hugging_face(side, monkeypatch, url):
    monkeypatch.setenv("HF_TOKEN", "hf_key")
    assert authorization(side, url) == "Bearer hf_key"


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co/x",
        "http://router.huggingface.co/x",
        "https://huggingface.co.evil.com/x",
        "https://evilhuggingface.co/x",
        "https://evil-huggingface.co/x",
        "https://huggingface.com/x",
        "https://huggingface.cloud/x",
        "https://endpoints.huggingface.cloud.evil.com/x",
        "https://evilendpoints.huggingface.cloud/x",
        "https://huggingface.co./x",
        "https://evil.com/huggingface.co",
        "https://evil.com/?huggingface.co",
        "https://evil.com/#.huggingface.co",
        "https://evil.com?.huggingface.co",
        "https://evil.com#.huggingface.co",
        "https://evil.com\\.huggingface.co/x",
        "https://evil.com\\x.huggingface.co/x",
        "https://evil.com%2f.huggingface.co/x",
        "https://evil.com%23.huggingface.co/x",
        "https://evil.com:443%2f.huggingface.co/x",
        "https://evil.com;.huggingface.co/x",
        "https://evil.com,.huggingface.co/x",
        "https://huggingface.co@evil.com/x",
        "https://huggingface.co:x@evil.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "http://127.0.0.1:8080/huggingface.co",
    ],
)
def test_it_goes_to_nobody_else(side, monkeypatch, url):
    monkeypatch.setenv("HF_TOKEN", "hf_key")
    try:
        assert authorization(side, url) is None
    except hfgen.InvalidRequestError as error:
        assert "hf_key" not in str(error)  # noqa: PT017 - refusing is as good


def authorization(side, url, **options):
    """The header that a call to this URL would send."""
    seen = []

    def answered(request):
        seen.append(request.headers.get("authorization"))
        return reply(b'{"generated_text": "a"}')

    side.call(side.client(fetch=side.fetch(answered)).run, "x", api_url=url, **options)
    return seen[0]


def test_one_that_is_passed_goes_where_the_caller_says(side, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_ambient")
    for url in ("http://localhost/x", "https://huggingface.co/x"):
        assert authorization(side, url, api_key="hf_passed") == "Bearer hf_passed"


def test_it_is_read_at_each_call(side, monkeypatch):
    assert authorization(side, HUB) is None
    monkeypatch.setenv("HF_TOKEN", "hf_key")
    assert authorization(side, HUB) == "Bearer hf_key"


def test_it_does_not_follow_a_redirect_elsewhere(side, serve, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_key")
    seen = []

    def answered(request):
        seen.append(request)
        if len(seen) == 1:
            return reply(b"", status=307, location="https://evil.com/x")
        return reply(b'{"generated_text": "a"}')

    side.call(side.client(fetch=side.fetch(answered)).run, "x", api_url=HUB)
    assert ["authorization" in request.headers for request in seen] == [True, False]


@pytest.mark.parametrize(
    "key",
    ["hf_a\nb", "hf_a\r\nx-evil: 1", "hf_é", "hf_a b", "hf_\x00", "hf_\u2028a"],
    ids=["newline", "header", "accent", "space", "nul", "separator"],
)
class TestBadKeys:
    def test_passed(self, side, key):
        with pytest.raises(hfgen.InvalidRequestError, match="api_key") as caught:
            side.client(api_key=key)
        assert "hf_" not in str(caught.value)

    def test_ambient(self, side, monkeypatch, tmp_path, key):
        monkeypatch.setenv("HF_TOKEN_PATH", write(tmp_path / "token", key))
        try:
            sent = authorization(side, HUB)
        except hfgen.HfgenError as error:
            assert "hf_" not in str(error)  # noqa: PT017
        else:
            # None, or cleaned as huggingface_hub cleans it.
            assert sent is None or (sent.isascii() and sent.isprintable() and sent.count(" ") == 1)


@pytest.mark.parametrize("key", ["", " ", "\n"])
def test_an_empty_key_is_refused(side, key):
    with pytest.raises(hfgen.InvalidRequestError, match="api_key"):
        side.client(api_key=key)


def test_a_key_is_stripped(side):
    assert authorization(side, "http://h/", api_key=" hf_key\n") == "Bearer hf_key"


def test_it_is_in_no_log_record(side, serve, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("hfgen", "urllib3", "aiohttp", "asyncio", ""):
        logging.getLogger(name).setLevel(logging.DEBUG)
    server = serve(
        as_json({"error": "busy"}, 503, retry_after="0"),
        events(token("a", last="a")),
        as_json({"error": "no"}, 401),
    )
    options = {
        "api_key": "hf_secretkey",
        "headers": {"cookie": "hf_secretkey"},
        "api_url": f"{server.url}/x?key=hf_secretkey",
    }
    assert side.collect(side.stream_tokens(server, **options)) == ["a"]
    with pytest.raises(hfgen.AuthenticationError) as caught:
        side.run(server, **options)
    assert "hf_secretkey" not in f"{caught.value} {caught.value!r}"
    assert any(record.name == "hfgen" for record in caplog.records)
    for record in caplog.records:
        if record.name.startswith("urllib3"):
            continue  # its own; the query is no place for a key, headers it does not log
        assert "hf_secretkey" not in f"{record.getMessage()} {record.args!r}"
    shown = "".join(r.getMessage() for r in caplog.records if r.name.startswith("urllib3"))
    assert "hf_secretkey" not in shown.replace("?key=hf_secretkey", "")


@pytest.fixture
def new_process():
    """Forget what is looked up once a process."""
    user_agent.cache_clear()
    yield user_agent.cache_clear
    user_agent.cache_clear()


@pytest.mark.parametrize("name", ["HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"])
def test_the_user_agent_says_no_more_than_allowed(side, serve, monkeypatch, name, new_process):
    server = serve(as_json({"generated_text": "a"}))
    side.run(server)
    monkeypatch.setenv(name, "1")
    new_process()
    assert not is_tracking_allowed()
    side.run(server)
    first, second = (request.headers["user-agent"] for request in server.requests)
    assert "python/" in first
    assert second == f"hfgen/{hfgen.__version__}"


class TestOwnKey:
    """`HFGEN_API_KEY`."""

    @pytest.fixture(autouse=True)
    def own_key(self, monkeypatch):
        monkeypatch.setenv("HFGEN_API_KEY", " own\n")
        monkeypatch.setenv("HF_TOKEN", "hf_token")

    @pytest.mark.parametrize(
        ("home", "url", "key"),
        [
            ("http://a:8080", "http://a:8080/generate", "own"),
            ("http://a:8080/v1", "http://a:8080/info", "own"),
            ("http://a", "https://a/generate", "own"),
            ("http://a:8080", "http://a/generate", None),
            ("http://a:8080", "http://a:8081/generate", None),
            ("http://a:8080", "http://b:8080/generate", None),
            ("https://a", "http://a/generate", None),
            ("http://a:8080", HUB, "hf_token"),
            (HUB, HUB, "own"),
        ],
    )
    def test_goes_to_the_server_of_the_variable_only(self, monkeypatch, home, url, key):
        monkeypatch.setenv("HFGEN_API_URL", home)
        assert ENVIRONMENT.find_key(url) == key
        assert ENVIRONMENT.find_key(url, url) == key

    def test_without_that_variable_goes_to_the_server_that_the_caller_names(self):
        assert ENVIRONMENT.find_key("http://a/info", "http://a/generate") == "own"
        assert ENVIRONMENT.find_key("http://a/info", "http://b/generate") is None
        assert ENVIRONMENT.find_key("http://a/info") is None
        assert ENVIRONMENT.find_key(HUB) == "hf_token"

    def test_a_wrong_key_is_named_and_not_shown(self, monkeypatch):
        monkeypatch.setenv("HFGEN_API_KEY", "two words")
        with pytest.raises(hfgen.InvalidRequestError, match="HFGEN_API_KEY must be") as caught:
            ENVIRONMENT.find_key("http://a/", "http://a/")
        assert "two words" not in str(caught.value)

    def test_a_wrong_url_is_named(self, monkeypatch):
        monkeypatch.setenv("HFGEN_API_URL", "http://a:port/")
        with pytest.raises(hfgen.InvalidRequestError, match="HFGEN_API_URL is no URL"):
            ENVIRONMENT.find_key("http://a/", "http://a/")

    def test_is_sent_with_each_request_to_its_server(self, side, serve, monkeypatch):
        home, other = (
            serve(as_json({"generated_text": "a"})),
            serve(as_json({"generated_text": "a"})),
        )
        monkeypatch.setenv("HFGEN_API_URL", home.url)
        for options in ({}, {"api_url": home.url}, {"api_url": other.url}, {"api_key": "mine"}):
            side.call(side.client(**options).run, "x")
        side.collect(side.client().generate_many(["x"], stream=False, api_urls=[other.url]))
        sent = [request.headers.get("authorization") for request in home.requests]
        assert sent == ["Bearer own", "Bearer own", "Bearer mine"]
        assert [request.headers.get("authorization") for request in other.requests] == [None] * 2

    def test_does_not_follow_a_redirect_to_another_server(self, side, serve, monkeypatch):
        other = serve(as_json({"generated_text": "a"}))
        home = serve(answer(status=307, location=f"{other.url}/generate"))
        monkeypatch.setenv("HFGEN_API_URL", f"{home.url}/generate")
        side.call(side.client().run, "x")
        assert home.request().headers["authorization"] == "Bearer own"
        assert "authorization" not in other.request().headers

    def test_if_none_was_sent_the_error_names_the_variable(self, side, serve, monkeypatch):
        monkeypatch.delenv("HFGEN_API_KEY")
        error = side.failure(side.client(api_url=serve(as_json({}, 401)).url).run, "x")
        assert "pass api_key=, or set HFGEN_API_KEY" in error.message


@pytest.mark.parametrize("has_data", [True, False])
def test_a_variable_is_read_as_os_environ_has_it(monkeypatch, has_data):
    if not has_data:
        monkeypatch.setattr(os, "environ", dict(os.environ))
    assert read_variable("HFGEN_NOTHING") == ""
    monkeypatch.setitem(os.environ, "HFGEN_SOMETHING", "é ü")
    assert read_variable("HFGEN_SOMETHING") == "é ü"
    monkeypatch.delitem(os.environ, "HFGEN_SOMETHING")
    assert read_variable("HFGEN_SOMETHING") == ""
