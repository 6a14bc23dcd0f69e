"""What a server says of itself, and how it cuts a text into tokens. No I/O.

Routes and shapes: TGI's router/src/server.rs; vLLM's vllm/entrypoints/serve/tokenize; llama.cpp's
tools/server/README.md; SGLang's sglang/srt/entrypoints/http_server.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from hfgen._core import conversation as exchange
from hfgen._core import discovery
from hfgen._core import url as _url
from hfgen._core.answers import ServerInfo, SimpleToken, with_raw
from hfgen._core.dialects.base import UNREADABLE, malformed
from hfgen._core.errors import InvalidRequestError, MalformedAnswerError, NotFoundError
from hfgen._core.fetch import FetchRequest
from hfgen._core.request import encode
from hfgen._core.token_offsets import Said, placed
from hfgen._core.verbs import body

if TYPE_CHECKING:
    from hfgen._core.conversation import Conversation
    from hfgen._core.retry import Retry
    from hfgen._core.target import Get, Target

Post: TypeAlias = Callable[[str, bytes], FetchRequest]
"""Makes the request that posts a body to a URL."""

# Where a server says more than its list of models does, and how that is called here.
_MORE = {"vllm": "version", "llama.cpp": "props", "sglang": "server_info"}


def information(base: str, get: Get, retry: Retry) -> Conversation[ServerInfo]:
    """Ask a server what it is.

    Raises:
        NotFoundError: It has neither of the routes that tell.
    """
    info, models = yield from discovery.said_of_itself(base, get, retry)
    if info is not None:
        return _informed("tgi", info, info)
    server = discovery.server_of(models)
    if server is None:
        raise NotFoundError(
            f"{_url.display(base)} has neither /info nor /v1/models to tell what it is", status=404
        )
    said = {"models": models["data"]}
    more: dict[str, Any] = {}
    if route := _MORE.get(server.kind or ""):
        found = yield from discovery.facts(get(_url.extended(base, route)), retry)
        more = found if isinstance(found, dict) else {route: found}
        said = {**more, **said} if route == "version" else {**said, route: found}
    settings = more.get("default_generation_settings")
    known = {
        "model_id": server.models[0] if len(server.models) == 1 else None,
        "max_total_tokens": server.context
        or (settings.get("n_ctx") if isinstance(settings, dict) else None),
        "version": more.get("build_info") or more.get("version"),
    }
    return _informed(server.kind, known, said)


def tokens(text: str, target: Target, base: str, post: Post, retry: Retry) -> Conversation[
    list[SimpleToken]
]:  # fmt: skip
    """Ask a server for the tokens of a text.

    Raises:
        InvalidRequestError: It is not known to tell.
        MalformedAnswerError: It answers something else.
    """
    asked = _question(text, target)
    request = post(_url.extended(base, "tokenize"), encode(asked))
    content: bytes = yield from exchange.converse(request, retry, body)
    try:
        return placed(text, _entries(msgspec.json.decode(content)))
    except (*UNREADABLE, TypeError, KeyError, ValueError) as error:
        raise malformed(content, f"the answer holds no tokens ({error!r})") from None


def _question(text: str, target: Target) -> dict[str, Any]:
    kind = "tgi" if target.dialect == "tgi" else target.server.kind
    models = target.server.models
    match kind:
        case "tgi":
            return {"inputs": text}
        case "llama.cpp":
            return {"content": text, "add_special": True, "with_pieces": True}
        case "vllm":
            return {"prompt": text, "return_token_strs": True, **_model(models)}
        case "sglang":
            return {"prompt": text, **_model(models)}
    what = kind or "this server"
    raise InvalidRequestError(f"{what} is not known to have a route that tokenizes")


def _model(models: tuple[str, ...]) -> dict[str, str]:
    return {"model": models[0]} if models else {}


def _entries(said: Any) -> list[Said]:
    """Return what is said of the tokens, in whatever shape it comes."""
    if isinstance(said, list):
        return [_native(token) for token in said]
    entries = said["tokens"]
    if entries and isinstance(entries[0], dict):
        return [Said(_id(entry["id"]), _piece(entry["piece"])) for entry in entries]
    spelled = said.get("token_strs") or [None] * len(entries)
    return [
        Said(_id(entry), written, is_spelled=True)
        for entry, written in zip(entries, spelled, strict=True)
    ]


def _native(token: dict[str, Any]) -> Said:
    said = Said(_id(token["id"]), token["text"])
    start, stop = _number(token.get("start")), _number(token.get("stop"))
    return said if start is None or stop is None else said._replace(span=(start, stop))


def _id(value: Any) -> int:
    if not isinstance(value, int):
        raise MalformedAnswerError(f"{value!r} is no id of a token")
    return value


def _piece(piece: Any) -> str | bytes:
    # llama.cpp gives the bytes of what is no text by itself.
    return piece if isinstance(piece, str) else bytes([*piece])


def _informed(server: str | None, known: dict[str, Any], said: dict[str, Any]) -> ServerInfo:
    info = ServerInfo(
        server=server,
        model_id=_string(known.get("model_id")),
        version=_string(known.get("version")),
        max_input_tokens=_number(known.get("max_input_tokens")),
        max_total_tokens=_number(known.get("max_total_tokens")),
    )
    return with_raw(info, msgspec.json.encode({**info.to_dict(), **said}))


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
