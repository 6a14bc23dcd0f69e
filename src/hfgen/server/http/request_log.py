"""One log record for each request, and the id by which a request is found again.

The records go to the logger `hfgen.server` at level INFO. Each has its values in the attribute
`fields`, a dict, for formatters that do not want a sentence.
"""

from __future__ import annotations

import logging
import re
import uuid
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGGER = logging.getLogger("hfgen.server")

REQUEST_ID_HEADER = "x-request-id"
REQUEST_ID = web.RequestKey("request_id", str)

# The message of an error in an answer that has begun with status 200, or that has a JSON body.
ERROR = web.ResponseKey("error", str)

# The status of a request whose client has left before the end of the answer; nginx logs the same.
CLIENT_LEFT = 499

# A longer id, or one with other characters, is replaced.
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


def choose_request_id(headers: Mapping[str, str]) -> str:
    """Return the id that the client has sent, or a new one."""
    sent = headers.get(REQUEST_ID_HEADER, "")
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


def log_request(
    request: web.BaseRequest, response: web.StreamResponse | None, seconds: float
) -> None:
    """Log a request with its answer; None if the client has left."""
    if not LOGGER.isEnabledFor(logging.INFO):
        return
    client, path = request.remote or "", request.rel_url.raw_path  # a query may hold a key
    status = CLIENT_LEFT if response is None else response.status
    error = "the client has left" if response is None else _find_error(response)
    request_id = request[REQUEST_ID]
    sentence = f"{client} {request.method} {path} {status} {seconds:.3f} s, id {request_id}"
    fields = {
        "client": client,
        "method": request.method,
        "path": path,
        "status": status,
        "seconds": round(seconds, 3),
        "request_id": request_id,
    }
    if error is not None:
        fields["error"] = error
        sentence += f", error: {error}"
    LOGGER.info("%s", sentence, extra={"fields": fields})


def log_malformed(client: str, error: str) -> None:
    """Log what is not HTTP, and was answered with status 400."""
    fields = {"client": client, "status": 400, "error": error}
    LOGGER.info("%s malformed HTTP 400, error: %s", client, error, extra={"fields": fields})


def _find_error(response: web.StreamResponse) -> str | None:
    if ERROR in response:
        return response[ERROR]
    if response.status >= 400 and isinstance(response, web.Response):  # noqa: PLR2004
        return response.text or None
    return None
