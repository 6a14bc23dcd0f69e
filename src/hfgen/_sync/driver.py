"""The driver of the sync side: it does what the conversation asks for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._core import conversation as exchange
from hfgen._core.boundary import checked, checked_piece, translated

if TYPE_CHECKING:
    from hfgen._core.conversation import Conversation, Step
    from hfgen._core.fetch import Fetch, FetchResponse
    from hfgen._io.interrupt import Interrupt
    from hfgen._options import OnRetry

T = TypeVar("T")

log = logging.getLogger("hfgen")


def drive(
    conversation: Conversation[T], fetch: Fetch, call: Interrupt, on_retry: OnRetry | None
) -> T:
    """Do what the conversation asks for until it returns."""
    response: FetchResponse | None = None
    try:
        step = next(conversation)
        while True:
            try:
                reply = _perform(step, fetch, call, on_retry)
            except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
                step = conversation.throw(translated(error, call) or error)
            else:
                if isinstance(step, exchange.Send):
                    response = reply
                step = conversation.send(reply)
    except StopIteration as stop:
        # What has come may lie there: nobody waits before the caller does.
        call.deadline = None
        result: T = stop.value
        return result
    except Exception:
        raise
    except BaseException:
        # Ctrl-C: nobody else knows of the response yet.
        if response is not None:
            response.close()
        raise


def _perform(step: Step, fetch: Fetch, call: Interrupt, on_retry: OnRetry | None) -> Any:
    match step:
        case exchange.Send():
            return _send(step, fetch, call, on_retry)
        case exchange.Read():
            return _read(step.response, step.limit, call)
        case exchange.Peek():
            return _peek(step.response, call)
        case exchange.Drop():
            return step.response.close()
        case exchange.Elapsed():
            return call.elapsed


def _send(
    step: exchange.Send, fetch: Fetch, call: Interrupt, on_retry: OnRetry | None
) -> FetchResponse:
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
        if on_retry is not None:
            on_retry(step.retries, step.wait, step.error)
        call.deadline = None
        if step.wait:
            call.wait(step.wait)
    call.throw_if_aborted()
    call.expect_first()
    log.debug("%r", step.request)
    return checked(fetch(step.request), asynchronous=False)


def _peek(response: FetchResponse, call: Interrupt) -> bytes | None:
    unsubscribe = call.subscribe(response.close)
    try:
        piece = next(response.body, None)  # type: ignore[call-overload] # checked
    finally:
        unsubscribe()
    # A connection that was cut can look like one that has come to its end.
    call.throw_if_aborted()
    return None if piece is None else checked_piece(piece)


def _read(response: FetchResponse, limit: int | None, call: Interrupt) -> bytes:
    unsubscribe = call.subscribe(response.close)
    body = bytearray()
    try:
        for piece in response.body:  # type: ignore[union-attr] # checked
            body += checked_piece(piece)
            if limit is not None and len(body) >= limit:
                # In place: there is enough of it.
                del body[limit:]
                break
    finally:
        unsubscribe()
        response.close()
    call.throw_if_aborted()
    return bytes(body)
