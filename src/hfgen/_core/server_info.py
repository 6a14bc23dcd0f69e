"""The conversations of `Client.info` and `Client.tokenize`. No I/O.

Routes and shapes: TGI's router/src/server.rs; vLLM's vllm/entrypoints/serve/tokenize; llama.cpp's
tools/server/README.md; SGLang's sglang/srt/entrypoints/http_server.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from hfgen._core import discovery, routing
from hfgen._core.answers import ServerInfo, SimpleToken, attach_raw
from hfgen._core.conversation import converse
from hfgen._core.dialects.base import malformed_error
from hfgen._core.errors import InvalidRequestError, MalformedAnswerError, NotFoundError
from hfgen._core.request import encode_json
from hfgen._core.server_json import DECODE_ERRORS, decode_json
from hfgen._core.token_offsets import ReportedToken, locate_tokens
from hfgen._core.url import extend_url, redact_url
from hfgen._core.verbs import accept_body

if TYPE_CHECKING:
    from hfgen._core.context import CallContext
    from hfgen._core.conversation import Conversation
    from hfgen._core.target import Target

# A route with more about a server than its list of models has.
_DETAILS_ROUTE = {"vllm": "version", "llama.cpp": "props", "sglang": "server_info"}


def read_info(context: CallContext) -> Conversation[ServerInfo]:
    """Ask the server that the options name for its description.

    Raises:
        InvalidRequestError: The options name the router or a provider, which are no single server.
        NotFoundError: The server tells neither at `/info` nor at `/v1/models` what it is.
    """
    base = routing.find_server_url(context.settings, context.environment)
    info, models = yield from discovery.ask_info(base, context)
    if info is not None:
        return _make_server_info("tgi", info, info)
    server = discovery.identify_server(models)
    if server is None:
        raise NotFoundError(
            f"neither /info nor /v1/models of {redact_url(base)} tells what it is", status=404
        )
    document = {"models": models["data"]}
    details: dict[str, Any] = {}
    if route := _DETAILS_ROUTE.get(server.kind or ""):
        answer = yield from discovery.read_document(
            context.make_get_request(extend_url(base, route)), context
        )
        details = answer if isinstance(answer, dict) else {route: answer}
        document = {**details, **document} if route == "version" else {**document, route: answer}
    settings = details.get("default_generation_settings")
    fields = {
        "model_id": server.models[0] if len(server.models) == 1 else None,
        "max_total_tokens": server.context
        or (settings.get("n_ctx") if isinstance(settings, dict) else None),
        "version": details.get("build_info") or details.get("version"),
    }
    return _make_server_info(server.kind, fields, document)


def tokenize(text: str, context: CallContext) -> Conversation[list[SimpleToken]]:
    """Ask the server that the options name for the tokens of a text.

    Raises:
        InvalidRequestError: The text is no string, or the server is not known to tokenize.
        MalformedAnswerError: The server's answer holds no tokens.
    """
    if not isinstance(text, str):
        raise InvalidRequestError(f"the text must be a string, not {type(text).__name__}")
    base = routing.find_server_url(context.settings, context.environment)
    settings = replace(context.settings, api_url=base, dialect="auto")
    plan = routing.plan_route({}, settings, context.environment)
    targets = context.targets.get(plan.key) or plan.targets
    if not targets:
        targets = yield from routing.find_targets(plan, context)
    body = encode_json(_make_tokenize_body(text, targets[0]))
    request = context.make_post_request(extend_url(base, "tokenize"), body)
    content: bytes = yield from converse(
        request, context.settings.retry, accept_body, context.clock
    )
    try:
        return locate_tokens(text, _read_tokens(decode_json(content)))
    except (*DECODE_ERRORS, TypeError, KeyError, ValueError) as error:
        raise malformed_error(content, f"the answer holds no tokens ({error!r})") from None


def _make_tokenize_body(text: str, target: Target) -> dict[str, Any]:
    kind = "tgi" if target.dialect == "tgi" else target.server.kind
    models = target.server.models
    match kind:
        case "tgi":
            return {"inputs": text}
        case "llama.cpp":
            return {"content": text, "add_special": True, "with_pieces": True}
        case "vllm":
            return {"prompt": text, "return_token_strs": True, **_name_model(models)}
        case "sglang":
            return {"prompt": text, **_name_model(models)}
    raise InvalidRequestError(
        f"{kind or 'this server'} is not known to have a route that tokenizes"
    )


def _name_model(models: tuple[str, ...]) -> dict[str, str]:
    return {"model": models[0]} if models else {}


def _read_tokens(document: Any) -> list[ReportedToken]:
    """Return the tokens of an answer: TGI's list, llama.cpp's objects, or ids and spellings."""
    if isinstance(document, list):
        return [_read_tgi_token(token) for token in document]
    entries = document["tokens"]
    if entries and isinstance(entries[0], dict):
        return [
            ReportedToken(_read_id(entry["id"]), _read_piece(entry["piece"])) for entry in entries
        ]
    spellings = document.get("token_strs") or [None] * len(entries)
    return [
        ReportedToken(_read_id(entry), spelling, is_spelled=True)
        for entry, spelling in zip(entries, spellings, strict=True)
    ]


def _read_tgi_token(token: dict[str, Any]) -> ReportedToken:
    reported = ReportedToken(_read_id(token["id"]), token["text"])
    start, stop = _read_integer(token.get("start")), _read_integer(token.get("stop"))
    return reported if start is None or stop is None else reported._replace(span=(start, stop))


def _read_id(value: Any) -> int:
    if not isinstance(value, int):
        raise MalformedAnswerError(f"{value!r} is no id of a token")
    return value


def _read_piece(piece: Any) -> str | bytes:
    # llama.cpp sends a list of bytes for a token that is no valid UTF-8 by itself.
    return piece if isinstance(piece, str) else bytes([*piece])


def _make_server_info(
    server: str | None, fields: dict[str, Any], document: dict[str, Any]
) -> ServerInfo:
    info = ServerInfo(
        server=server,
        model_id=_read_string(fields.get("model_id")),
        version=_read_string(fields.get("version")),
        max_input_tokens=_read_integer(fields.get("max_input_tokens")),
        max_total_tokens=_read_integer(fields.get("max_total_tokens")),
    )
    return attach_raw(info, msgspec.json.encode({**info.to_dict(), **document}))


def _read_string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
