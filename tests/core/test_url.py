"""URLs: the model in them, their checks, and their secrets."""

import pytest

from hfgen import InvalidRequestError
from hfgen._core.url import (
    DEFAULT_API_URL,
    check_url,
    may_carry_credentials,
    redact_url,
    resolve_url,
)


@pytest.mark.parametrize(
    ("api_url", "model", "url"),
    [
        (DEFAULT_API_URL, "a/b", "https://router.huggingface.co/hf-inference/models/a/b"),
        (DEFAULT_API_URL, "gpt2", "https://router.huggingface.co/hf-inference/models/gpt2"),
        ("http://h/models/", "a/b c?d#e%", "http://h/models/a/b%20c%3Fd%23e%25"),
        ("http://h/models/", "é", "http://h/models/%C3%A9"),
    ],
)
def test_the_model_is_appended(api_url, model, url):
    assert resolve_url(api_url, model) == (url, True)


@pytest.mark.parametrize(
    "api_url",
    ["http://h", "http://h/", "http://h/models", "http://h/models/?a", "https://h:8/generate?x=1",
     "http://[::1]:8080/generate", "HTTP://H/", "http://127.0.0.1"],
)  # fmt: skip
@pytest.mark.parametrize("model", [None, "a/b"])
def test_any_other_url_is_unchanged(api_url, model):
    assert resolve_url(api_url, model) == (api_url, False)


@pytest.mark.parametrize(
    ("api_url", "url"),
    [
        ("http://é:8080/é", "http://xn--9ca:8080/%C3%A9"),
        ("http://a.é/?é", "http://a.xn--9ca/?%C3%A9"),
        ("http://h:8080/é", "http://h:8080/%C3%A9"),
        ("http://[::1]:8080/é", "http://[::1]:8080/%C3%A9"),
    ],
)
def test_characters_beyond_ascii_are_encoded(api_url, url):
    assert resolve_url(api_url, None) == (url, False)


@pytest.mark.parametrize("model", [None, ""])
def test_a_model_is_needed(model):
    with pytest.raises(InvalidRequestError, match="needs a `model`"):
        resolve_url(DEFAULT_API_URL, model)


@pytest.mark.parametrize(
    "model", ["../x", "a/../../x", "a//b", "/a", "a/", ".", "..", "a/.", "%2e%2e/x", "\\..\\x"]
)
def test_a_model_cannot_leave_its_path(model):
    try:
        url, _ = resolve_url("http://h/models/", model)
    except InvalidRequestError:
        return
    assert url.startswith("http://h/models/%")
    assert "/../" not in url.replace("%25", "%")


@pytest.mark.parametrize(
    "url",
    ["", "/", "h", "h/models/", "//h/", "ftp://h/", "file:///etc/passwd", "http://", "http:///x",
     "http:h", "http://:80/", "http://h:port/", "http://h:99999/", "http://[::1", "http://h /",
     " http://h/", "http://h/\n", "http://h/a b", "http://h/\x00", "http://h\t/", None, 5,
     b"http://h/", "http://[fe80::1%é]/"],
)  # fmt: skip
def test_an_invalid_url_is_refused(url):
    with pytest.raises(InvalidRequestError, match="api_url"):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    ["http://hf_key@h/", "http://user:hf_key@h/", "http://user:hf_key@", "http://u:hf_key@h:port/",
     "http://user:hf_key/x@h/", "https://u:hf_key@ h/", "ftp://u:hf_key@h/", "http://u:hf_key@[::1/",
     "http://u:hf_key?@h/", "http://u:hf_key#@h/"],
)  # fmt: skip
def test_a_password_in_it_is_refused_and_not_shown(url):
    with pytest.raises(InvalidRequestError) as caught:
        check_url(url)
    assert "hf_key" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://evil.example\\.huggingface.co/", "https://evil.example\\@huggingface.co/",
     "https://huggingface.co\\.evil.example/"],
)  # fmt: skip
def test_a_backslash_in_the_host_is_refused(url):
    """Some read it as the end of the host, others as part of it."""
    with pytest.raises(InvalidRequestError):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://api-inference.huggingface.co/models/", "https://api-inference.huggingface.co/models/a",
     "http://API-Inference.HuggingFace.co", "https://api-inference.huggingface.co:443/"],
)  # fmt: skip
def test_the_retired_host_names_its_successor(url):
    with pytest.raises(InvalidRequestError, match=r"router\.huggingface\.co"):
        check_url(url)


def test_redact_url_removes_secrets():
    assert redact_url("https://u:p@h:8/a/b?key=secret#f") == "https://h:8/a/b"


@pytest.mark.parametrize(
    ("source", "target", "may"),
    [
        ("https://h/a", "https://h/b", True),
        ("https://h/", "https://h:443/", True),
        ("https://h/", "https://H/", True),
        ("http://h/", "https://h/", True),
        ("http://h:8080/", "http://h:8080/b", True),
        ("https://h/", "http://h/", False),
        ("https://h/", "http://h:443/", False),
        ("http://h:8080/", "https://h/", False),
        ("http://h/", "https://h:8443/", False),
        ("https://h/", "https://h:444/", False),
        ("https://h/", "https://h:0/", False),
        ("https://h/", "https://h./", False),
        ("https://h/", "https://sub.h/", False),
        ("https://h.example/", "https://example/", False),
        ("https://h/", "https://h.evil/", False),
        ("https://h/", "https://evil/h", False),
        ("https://h/", "https://h@evil/", False),
    ],
)
def test_credentials_are_not_sent_to_another_origin(source, target, may):
    assert may_carry_credentials(source, target) is may
