"""The key that the environment offers, and the hosts that it may go to.

Order and names are huggingface_hub's (`huggingface_hub/utils/_auth.py`, `constants.py`). Unlike
there, an ambient key goes to Hugging Face's own hosts only, and over https only.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from hfgen._core.errors import InvalidRequestError
from hfgen._core.url import cached

_TRUE = frozenset({"1", "on", "yes", "true"})
_HOSTS = frozenset({"huggingface.co"})
_DOMAINS = (".huggingface.co", ".endpoints.huggingface.cloud")


def ambient_key(url: str) -> str | None:
    """Return the key that the environment offers for this URL, None if there is none."""
    if not _is_hugging_face(url) or _is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return None
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if key := os.environ.get(name, "").strip():
            return checked_key(key, name)
    path = _key_file()
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return checked_key(key, str(path)) if key else None


def checked_key(key: str, source: str) -> str:
    """Return the key if a header can hold it: what is wrong with a header is shown elsewhere.

    Raises:
        InvalidRequestError: It cannot be a key. The message names its source, and not the key.
    """
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidRequestError(f"{source} must be printable ASCII without spaces")
    return key


def tracking_allowed() -> bool:
    """Tell whether the user agent may say more than name and version."""
    return not (_is_set("HF_HUB_DISABLE_TELEMETRY") or _is_set("DO_NOT_TRACK"))


@cached
def _is_hugging_face(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host in _HOSTS or host.endswith(_DOMAINS))


def _key_file() -> Path:
    # Not Path.expanduser: it raises where there is no home.
    if path := os.environ.get("HF_TOKEN_PATH"):
        return Path(os.path.expanduser(path))  # noqa: PTH111
    home = os.environ.get("HF_HOME")
    if not home:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        home = os.path.join(cache, "huggingface")  # noqa: PTH118
    return Path(os.path.expanduser(home)) / "token"  # noqa: PTH111


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in _TRUE
