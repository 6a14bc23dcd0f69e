"""`Target`: a route of a server, and the dialect that it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from hfgen._core.dialects.server_kind import UNKNOWN, Server
from hfgen._core.dialects.tgi import TGI

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hfgen._core.dialects.base import Dialect

DialectName: TypeAlias = Literal["tgi", "completions"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A route of a server.

    Attributes:
        dialect: The dialect that the route speaks.
        url: The URL to post to.
        stream_url: The URL to post to for a stream, if it is a different one.
        server: What is known of the server.
        model: The server's own name for the model, None if it is the caller's.
        model_in_url: Whether to leave the model out of the body, because the URL names it.
    """

    dialect: DialectName
    url: str
    stream_url: str | None = None
    server: Server = UNKNOWN
    model: str | None = None
    model_in_url: bool = False

    def url_for(self, *, stream: bool) -> str:
        """Return the URL to post to."""
        return self.stream_url or self.url if stream else self.url

    def dialect_for(self, request: Mapping[str, Any], *, is_counted: bool = False) -> Dialect:
        """Return the dialect of this target, made for one request.

        Args:
            request: The normalised request.
            is_counted: Whether to ask for the finish reason and the number of tokens, if the server
                is known to take the parameter. The Inference Toolkit refuses it.
        """
        if self.model is not None:
            request = {**request, "model": self.model}
        if self.dialect == "completions":
            # Imported late, since many programs never use a server that speaks completions.
            from hfgen._core.dialects.completions import Completions  # noqa: PLC0415

            return Completions(request, self.server)
        if self.model_in_url:
            request = {key: value for key, value in request.items() if key != "model"}
        if is_counted and self.server.kind == "tgi":
            parameters = {"details": True, **request.get("parameters", {})}
            request = {**request, "parameters": parameters}
        return TGI(request, self.server)
