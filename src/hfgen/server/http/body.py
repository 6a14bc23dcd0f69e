"""Reads JSON bodies of requests; writes JSON answers and event streams. As axum's `Json` does.

Source: axum, `axum/src/json.rs` and `axum-core/src/extract/rejection.rs`: which status, which
message, in which order. The part of a message after a colon is serde's there and msgspec's here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from aiohttp import web

from hfgen.server.http.answers import ErrorResponse, to_event, to_json
from hfgen.server.http.metrics import stream_headers
from hfgen.server.http.request_log import ERROR
from hfgen.server.http.requests import UnreadableBodyError, decode_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import msgspec

    from hfgen.server.http.answers import OpenAIError
    from hfgen.server.http.connections import Connection
    from hfgen.server.http.errors import RequestError

# The default of TGI's `--payload-limit`, in bytes.
PAYLOAD_LIMIT = 2_000_000

_Request = TypeVar("_Request")


async def read_json(request: web.Request, decoder: msgspec.json.Decoder[_Request]) -> _Request:
    """Read and decode the JSON body of a request.

    Raises:
        web.HTTPException: The body cannot be read: 415, 413, 408, 400 or 422 with a plain-text
            reason.
    """
    if not _is_json(request.content_type):
        raise web.HTTPUnsupportedMediaType(
            text="Expected request with `Content-Type: application/json`"
        )
    connection = cast("Connection", request.protocol)
    try:
        async with asyncio.timeout(connection.client_timeout):
            with connection.waiting():
                body = await request.read()
    except TimeoutError as error:
        raise _too_late_error(connection.client_timeout) from error
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large_error() from error
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text=f"Failed to buffer the request body: {error}") from error
    # aiohttp's own limit is one byte more: its versions differ on whether it may be reached.
    if len(body) > PAYLOAD_LIMIT:
        raise _too_large_error()
    try:
        return decode_request(decoder, body)
    except UnreadableBodyError as error:
        error_class = {400: web.HTTPBadRequest, 422: web.HTTPUnprocessableEntity}[error.status]
        raise error_class(text=error.text) from error


def json_response(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=to_json(value), status=status, headers=headers, content_type="application/json"
    )


def error_response(error: RequestError) -> web.Response:
    """Return the answer for an error outside a stream."""
    response = json_response(
        ErrorResponse(str(error), error.error_type), status=error.status, headers=error.headers
    )
    response[ERROR] = str(error)
    return response


def _too_large_error() -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(
        max_size=PAYLOAD_LIMIT,
        actual_size=PAYLOAD_LIMIT + 1,
        text="Failed to buffer the request body: length limit exceeded",
    )


def _too_late_error(seconds: float) -> web.HTTPException:
    error = web.HTTPRequestTimeout(
        text=f"Failed to buffer the request body: it has not arrived within {seconds:g} seconds"
    )
    error.force_close()
    return error


def _is_json(content_type: str) -> bool:
    kind, _, subtype = content_type.lower().partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


class EventStream:
    """An answer written as server-sent events, with one write for each event.

    Used as a context manager: entering it sends the headers, and leaving it ends the stream. If the
    body raises, the end of the stream is not sent.
    """

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

    async def write_error(self, error: RequestError, answer: ErrorResponse | OpenAIError) -> None:
        """Write an error as an event: the status 200 is already sent."""
        self.response[ERROR] = str(error)
        await self.write(to_event(answer))

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
