"""`ENVIRONMENT`: what environment variables say of keys, the server, the model and the user agent.

Order and names of the keys are huggingface_hub's (`huggingface_hub/utils/_auth.py`,
`constants.py`). Unlike there, such a key goes only to Hugging Face's own hosts, and only over
https. `HFGEN_API_KEY` is a key for another server.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hfgen._core.settings import check_key
from hfgen._core.url import cache_by_url, check_url, may_carry_credentials
from hfgen._version import __version__

_TRUE = frozenset({"1", "on", "yes", "true"})
_HOSTS = frozenset({"huggingface.co"})
_DOMAINS = (".huggingface.co", ".endpoints.huggingface.cloud")


def read_variable(name: str) -> str:
    """Return an environment variable, "" if it is not set.

    `os.environ.get` raises and catches two errors for a variable that is not set, and each call of
    a client reads several of these. So this looks into the dict that CPython's `os.environ` has.
    """
    try:
        value = os.environ._data.get(_encode_name(name))  # type: ignore[attr-defined] # noqa: SLF001
    except AttributeError:
        return os.environ.get(name, "")
    return "" if value is None else os.environ.decodevalue(value)


@cache
def _encode_name(name: str) -> Any:
    return os.environ.encodekey(name)


class ProcessEnvironment:
    """The environment of this process, read at each access because programs change it."""

    @property
    def api_url(self) -> str | None:
        """`HFGEN_API_URL`, None if it is not set."""
        return read_variable("HFGEN_API_URL") or None

    @property
    def model(self) -> str | None:
        """`HFGEN_MODEL`, None if it is not set."""
        return read_variable("HFGEN_MODEL") or None

    @property
    def hub_url(self) -> str:
        """`HF_ENDPOINT`, as huggingface_hub reads it; by default the public Hub."""
        return (read_variable("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")

    @property
    def user_agent(self) -> str:
        """The versions of hfgen and, unless the user has opted out, of Python."""
        return user_agent()

    @property
    def own_key(self) -> dict[str, str]:
        """`HFGEN_API_KEY`, and `HFGEN_API_URL` ("" if it is not set); empty without the key."""
        names = ("HFGEN_API_KEY", "HFGEN_API_URL")
        return {n: os.environ.get(n, "") for n in names if os.environ.get("HFGEN_API_KEY")}

    def find_key(self, url: str, api_url: str | None = None) -> str | None:
        """Return the key in the environment that may go to this URL, None if there is none.

        `HFGEN_API_KEY` belongs to the server of `HFGEN_API_URL`. Without that variable it is for
        the server that the caller names.

        Args:
            url: The URL of a request.
            api_url: The server that the caller names, None if the caller names none.

        Raises:
            InvalidRequestError: The value cannot be a key.
        """
        key = read_variable("HFGEN_API_KEY").strip()
        if key and (home := self.api_url or api_url):
            check_url(home, "HFGEN_API_URL")
            if may_carry_credentials(home, url):
                return check_key(key, "HFGEN_API_KEY")
        if not _is_hugging_face(url) or _is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN"):
            return None
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            if key := read_variable(name).strip():
                return check_key(key, name)
        path = _key_file()
        try:
            key = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return check_key(key, str(path)) if key else None


ENVIRONMENT = ProcessEnvironment()


@cache
def user_agent() -> str:
    """Return the value of the header `user-agent`; computed once in a process."""
    agent = f"hfgen/{__version__}"
    if not is_tracking_allowed():
        return agent
    return f"{agent}; python/{'.'.join(map(str, sys.version_info[:3]))}"


def is_tracking_allowed() -> bool:
    """Tell whether the user agent may hold more than the version of hfgen."""
    return not (_is_set("HF_HUB_DISABLE_TELEMETRY") or _is_set("DO_NOT_TRACK"))


@cache_by_url
def _is_hugging_face(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host in _HOSTS or host.endswith(_DOMAINS))


def _key_file() -> Path:
    if path := os.environ.get("HF_TOKEN_PATH"):
        return _expand(path)
    home = os.environ.get("HF_HOME")
    if not home:
        cache_folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        home = os.path.join(cache_folder, "huggingface")  # noqa: PTH118
    return _expand(home) / "token"


def _expand(path: str) -> Path:
    """Return a path with `~` and variables replaced, in the order of huggingface_hub."""
    # Not Path.expanduser, which raises if there is no home.
    return Path(os.path.expandvars(os.path.expanduser(path)))  # noqa: PTH111


def _is_set(name: str) -> bool:
    return read_variable(name).strip().lower() in _TRUE
