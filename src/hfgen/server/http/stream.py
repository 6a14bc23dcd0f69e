"""A stream of server-sent events being answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from aiohttp import web

from hfgen.server.http.timings import stream_headers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class EventStream:
    """An answer that is written event by event, one write each. A context: leaving it ends it."""

    def __init__(self, request: web.Request, prompts: Sequence[str]) -> None:
        self._request = request
        self.response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream",
                "cache-control": "no-cache",
                **stream_headers(prompts),
            }
        )
        self.write = self.response.write

    async def __aenter__(self) -> Self:
        await self.response.prepare(self._request)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            await self.response.write_eof()
