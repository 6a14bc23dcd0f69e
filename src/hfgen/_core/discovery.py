"""Discovery: asking a server which dialect it speaks, and which software it is. No I/O.

Only TGI has `GET /info` (its router/src/server.rs). All servers have `GET /v1/models`, where
`owned_by` tells them apart: "vllm" (vllm/entrypoints/openai/models/protocol.py), "sglang"
(sglang/srt/entrypoints/openai/protocol.py), "llamacpp" (llama.cpp, tools/server), "library"
(Ollama, openai/openai.go), in TGI the id of the model, and in `transformers serve` a list of the
parts of that id (transformers, src/transformers/cli/serving/model_manager.py).

What is asked for is optional: a server that answers with an error that lasts, also a 500, is one of
unknown kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from hfgen._core.conversation import MAX_ERROR_BYTES, Drop, Read, add_hint, converse
from hfgen._core.dialects.server_kind import TGI_SERVER, UNKNOWN, Server
from hfgen._core.errors import (
    AuthenticationError,
    ConnectError,
    ModelLoadingError,
    OverloadedError,
    StatusError,
    TimeoutError,  # noqa: A004
)
from hfgen._core.headers import Headers, media_type
from hfgen._core.server_errors import is_tgi_error
from hfgen._core.server_json import DECODE_ERRORS, decode_json
from hfgen._core.statuses import find_meaning
from hfgen._core.target import Target
from hfgen._core.url import extend_url, redact_url, replace_route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hfgen._core.context import CallContext
    from hfgen._core.conversation import Conversation
    from hfgen._core.dialects.server_kind import Kind
    from hfgen._core.fetch import FetchRequest, FetchResponse

T = TypeVar("T")

_KINDS: dict[str, Kind] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "library": "ollama",
}
# The statuses of a server without such a route, or with a different route at this URL.
_MISSING_ROUTE = frozenset({404, 405, 422})


def find_targets(url: str, context: CallContext) -> Conversation[tuple[Target, ...]]:
    """Ask a server which dialect it speaks; return where to post, the likeliest target first."""
    tgi = Target(dialect="tgi", url=url)
    info, models = yield from ask_info(url, context)
    if info is not None:
        return (replace(tgi, server=TGI_SERVER),)
    server = identify_server(models)
    completions = Target(
        dialect="completions", url=extend_url(url, "v1/completions"), server=server or UNKNOWN
    )
    return (tgi, completions) if server is None else (completions,)


def find_server(target: Target, context: CallContext) -> Conversation[tuple[Target, ...]]:
    """Ask a server that speaks completions for its kind; return the target with the answer."""
    models = yield from read_document(
        context.make_get_request(replace_route(target.url, "models")), context
    )
    return (replace(target, server=identify_server(models) or UNKNOWN),)


def find_tgi_server(target: Target, context: CallContext) -> Conversation[tuple[Target, ...]]:
    """Ask a server that speaks TGI's dialect whether it is TGI; return the target with that."""
    info = yield from _read_info(target.url, context)
    return (target if info is None else replace(target, server=TGI_SERVER),)


def ask_info(url: str, context: CallContext) -> Conversation[tuple[Any, Any]]:
    """Return the documents of `/info` and None if the server is TGI, else None and `/v1/models`."""
    info = yield from _read_info(url, context)
    if info is not None:
        return info, None
    models = yield from read_document(
        context.make_get_request(extend_url(url, "v1/models")), context
    )
    return None, models


def _read_info(url: str, context: CallContext) -> Conversation[dict[str, Any] | None]:
    """Return the document of `/info` if the server is TGI, else None."""
    info = yield from read_document(context.make_get_request(extend_url(url, "info")), context)
    is_tgi = isinstance(info, dict) and isinstance(info.get("model_id"), str)
    return info if is_tgi else None


def read_document(request: FetchRequest, context: CallContext) -> Conversation[Any]:
    """Read a JSON document; return None if the server does not have it.

    Raises:
        StatusError: The server refuses the key, or is not able to answer now: it may answer
            later, so None must not be remembered. The message names the request.
        ConnectError: The server cannot be reached.
        TimeoutError: The server took too long.
    """
    try:
        return (
            yield from converse(request, context.settings.retry, accept_document, context.clock)
        )
    except (StatusError, ConnectError, TimeoutError) as error:
        if isinstance(error, StatusError) and not _may_pass(error):
            return None
        add_hint(error, f"GET {redact_url(request.url)} asked what the server is")
        raise


def _may_pass(error: StatusError) -> bool:
    """Tell whether the server may answer later, or to another key."""
    passes = isinstance(error, AuthenticationError | ModelLoadingError | OverloadedError)
    return passes or find_meaning(error.status).is_transient


def try_targets(
    targets: Sequence[Target], attempt: Callable[[Target], Conversation[T]]
) -> Conversation[tuple[Target, T]]:
    """Try one target after the other; return the first that has the route, and its result.

    Raises:
        StatusError: The server refuses the request, or no target has the route.
    """
    refusals: list[StatusError] = []
    for target in targets:
        try:
            return target, (yield from attempt(target))
        except StatusError as error:
            if error.status not in _MISSING_ROUTE or is_tgi_error(error):
                raise
            refusals.append(error)
    # 422 comes from a server that has read the request, so its error says more than a 404.
    raise next((e for e in refusals if e.status == 422), refusals[0])  # noqa: PLR2004


def identify_server(document: Any) -> Server | None:
    """Return the server that sent this list of models, None if the document is no such list."""
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        return None
    entries = [m for m in models if isinstance(m, dict) and isinstance(m.get("id"), str)]
    if not entries:
        return UNKNOWN if not models else None
    owner = entries[0].get("owned_by")
    kind: Kind | None = _KINDS.get(owner) if isinstance(owner, str) else None
    if owner == entries[0]["id"]:
        kind = "tgi"
    elif any(isinstance(m.get("owned_by"), list) for m in entries):
        kind = "transformers"
    # vLLM and SGLang list adapters too, with the model that an adapter belongs to as `parent`.
    bases = [m for m in entries if m.get("parent") is None]
    lengths = [m.get("max_model_len") for m in bases]
    context = next((length for length in lengths if type(length) is int), None)
    return Server(kind, tuple(m["id"] for m in bases), context)


def accept_document(_: object, response: FetchResponse) -> Conversation[Any]:
    """Return the JSON document that an answer holds, None if it holds none."""
    if media_type(Headers(response.headers)) != "application/json":
        yield Drop(response)
        return None
    content: bytes = yield Read(response, MAX_ERROR_BYTES)
    try:
        return decode_json(content)
    except DECODE_ERRORS:
        return None
