"""Finding out what a server speaks, and which one it is. No I/O.

`GET /info` is TGI's (its router/src/server.rs); `GET /v1/models` is everybody's, and `owned_by` in
it tells them apart: "vllm" (vllm/entrypoints/openai/models/protocol.py), "sglang"
(sglang/srt/entrypoints/openai/protocol.py), "llamacpp" (llama.cpp, tools/server), "library"
(Ollama, openai/openai.go), and the model's own id in TGI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import replace

from hfgen._core import conversation as exchange
from hfgen._core import url as _url
from hfgen._core.conversation import MAX_ERROR_BYTES, Drop, Read
from hfgen._core.dialects.server_kind import UNKNOWN, Server
from hfgen._core.errors import AuthenticationError, ModelLoadingError, StatusError
from hfgen._core.headers import Headers, media_type
from hfgen._core.server_errors import is_tgis
from hfgen._core.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hfgen._core.conversation import Conversation
    from hfgen._core.dialects.server_kind import Kind
    from hfgen._core.fetch import FetchRequest, FetchResponse
    from hfgen._core.retry import Retry
    from hfgen._core.target import Get

T = TypeVar("T")

_KINDS: dict[str, Kind] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "library": "ollama",
}
# What a server answers who has no such route, or does not understand what is posted there.
_NOT_THERE = frozenset({404, 405, 422})
# It may yet speak, later; what is taken for its answer now would be remembered.
_NOT_NOW = frozenset({429, 500, 502, 503, 504})


def targets(url: str, get: Get, retry: Retry) -> Conversation[tuple[Target, ...]]:
    """Ask a server what it speaks; return where to post, the likeliest first."""
    tgi = Target(dialect="tgi", url=url)
    info, models = yield from said_of_itself(url, get, retry)
    if info is not None:
        return (tgi,)
    server = server_of(models)
    other = Target(
        dialect="completions", url=_url.extended(url, "v1/completions"), server=server or UNKNOWN
    )
    return (tgi, other) if server is None else (other,)


def said_of_itself(url: str, get: Get, retry: Retry) -> Conversation[tuple[Any, Any]]:
    """Ask a server what it is; return TGI's `/info`, or else None and `/v1/models`."""
    info = yield from facts(get(_url.extended(url, "info")), retry)
    if isinstance(info, dict) and isinstance(info.get("model_id"), str):
        return info, None
    return None, (yield from facts(get(_url.extended(url, "v1/models")), retry))


def informed(target: Target, get: Get, retry: Retry) -> Conversation[tuple[Target, ...]]:
    """Ask a server that speaks completions which one it is."""
    models = yield from facts(get(_url.sibling(target.url, "models")), retry)
    return (replace(target, server=server_of(models) or UNKNOWN),)


def facts(request: FetchRequest, retry: Retry) -> Conversation[Any]:
    """Read a JSON document; None where there is none.

    Raises:
        StatusError: The key is refused, or the server does not answer anything at present.
        ConnectError: It cannot be reached.
        TimeoutError: It took too long.
    """
    try:
        return (yield from exchange.converse(request, retry, document))
    except (AuthenticationError, ModelLoadingError):
        raise
    except StatusError as error:
        if error.status in _NOT_NOW:
            raise
        return None


def first(
    places: Sequence[Target], attempt: Callable[[Target], Conversation[T]]
) -> Conversation[tuple[Target, T]]:
    """Make the attempt at one place after the other; return the first that takes it."""
    refusals: list[StatusError] = []
    for place in places:
        try:
            return place, (yield from attempt(place))
        except StatusError as error:
            if error.status not in _NOT_THERE or is_tgis(error):
                raise
            refusals.append(error)
    # Who read the request says more than who has no such route.
    raise next((e for e in refusals if e.status == 422), refusals[0])  # noqa: PLR2004


def server_of(document: Any) -> Server | None:
    """Return the server that a list of models tells of, None if it is no such list."""
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        return None
    named = [m for m in models if isinstance(m, dict) and isinstance(m.get("id"), str)]
    if not named:
        return UNKNOWN if not models else None
    owner = named[0].get("owned_by")
    kind: Kind | None = "tgi" if owner == named[0]["id"] else _KINDS.get(str(owner))
    # vLLM and SGLang list adapters under the model that they belong to.
    bases = [m for m in named if m.get("parent") is None]
    lengths = [m.get("max_model_len") for m in bases]
    context = next((length for length in lengths if type(length) is int), None)
    return Server(kind, tuple(m["id"] for m in bases), context)


def document(_: object, response: FetchResponse) -> Conversation[Any]:
    """Accept an answer as a JSON document; None if it is none."""
    if media_type(Headers(response.headers)) != "application/json":
        yield Drop(response)
        return None
    content: bytes = yield Read(response, MAX_ERROR_BYTES)
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
