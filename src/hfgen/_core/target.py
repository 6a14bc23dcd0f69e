"""Where a request goes, and in which dialect."""

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
        dialect: What is spoken there.
        url: Where `run` posts to.
        stream_url: Where streams are asked for, if that is another place.
        server: What is known of the server, where it speaks completions.
        model: The server's own name for the model, if it has one.
        model_in_url: Whether the URL names the model.
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
        """Return the dialect in which this target is asked, for a normalised request.

        Args:
            request: The request.
            is_counted: Whether to ask for the finish reason and the number of tokens.
        """
        if self.model is not None:
            request = {**request, "model": self.model}
        if self.dialect == "completions":
            # Imported late: many programs never meet a server that speaks completions.
            from hfgen._core.dialects.completions import Completions  # noqa: PLC0415

            return Completions(request, self.server)
        if self.model_in_url:
            request = {key: value for key, value in request.items() if key != "model"}
        if is_counted:
            parameters = {"details": True, **request.get("parameters", {})}
            request = {**request, "parameters": parameters}
        return TGI(request)
