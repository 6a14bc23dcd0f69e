"""The driver of the async side: it does what the conversation asks for."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._async.abort_scope import AbortScope
from hfgen._async.stream import hang_up
from hfgen._core import conversation as exchange
from hfgen._core.boundary import checked, checked_piece, translated

if TYPE_CHECKING:
    from hfgen._core.conversation import Conversation, Step
    from hfgen._core.fetch import AsyncFetch, FetchResponse
    from hfgen._io.interrupt import Interrupt
    from hfgen._options import OnRetry

T = TypeVar("T")

log = logging.getLogger("hfgen")

_READS = (exchange.Read, exchange.Peek)
_WAITS = (exchange.Send, *_READS)


async def drive(
    conversation: Conversation[T], fetch: AsyncFetch, call: Interrupt, on_retry: OnRetry | None
) -> T:
    """Do what the conversation asks for until it returns."""
    response: FetchResponse | None = None
    try:
        step = next(conversation)
        while True:
            waits = isinstance(step, _WAITS)
            try:
                with AbortScope(call) if waits else contextlib.nullcontext():
                    reply = await _perform(step, fetch, call, on_retry)
            except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
                if isinstance(step, _READS):
                    # It may have been aborted before it was begun.
                    await _close(step.response)
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
    except asyncio.CancelledError:
        # Nobody else knows of the response yet.
        if response is not None:
            await _close(response)
        raise


async def _perform(step: Step, fetch: AsyncFetch, call: Interrupt, on_retry: OnRetry | None) -> Any:
    match step:
        case exchange.Send():
            return await _send(step, fetch, call, on_retry)
        case exchange.Read():
            return await _read(step.response, step.limit)
        case exchange.Peek():
            piece = await anext(step.response.body, None)  # type: ignore[call-overload] # checked
            return None if piece is None else checked_piece(piece)
        case exchange.Drop():
            return await _close(step.response)
        case exchange.Elapsed():
            return call.elapsed


async def _send(
    step: exchange.Send, fetch: AsyncFetch, call: Interrupt, on_retry: OnRetry | None
) -> FetchResponse:
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
        if on_retry is not None and inspect.isawaitable(
            told := on_retry(step.retries, step.wait, step.error)
        ):
            await told
        call.deadline = None
        await asyncio.sleep(step.wait)
    call.expect_first()
    log.debug("%r", step.request)
    return checked(await fetch(step.request), asynchronous=True)


async def _read(response: FetchResponse, limit: int | None) -> bytes:
    body = bytearray()
    try:
        async for piece in response.body:  # type: ignore[union-attr] # checked
            body += checked_piece(piece)
            if limit is not None and len(body) >= limit:
                # In place: there is enough of it.
                del body[limit:]
                break
    finally:
        await _close(response)
    return bytes(body)


async def _close(response: FetchResponse) -> None:
    if (closing := hang_up(asyncio.get_running_loop(), response.close)) is not None:
        await closing
