"""`drive` of the async side: does the steps of a conversation, in the caller's task."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._async.abort_scope import AbortScope
from hfgen._async.stream import close_on_loop
from hfgen._core.conversation import Ask, Drop, Peek, Read, Send
from hfgen._core.fetch import check_piece, check_response, to_hfgen_error

if TYPE_CHECKING:
    from hfgen._core.conversation import Conversation
    from hfgen._core.fetch import AsyncFetch, FetchResponse
    from hfgen._core.target import Target
    from hfgen._io.interrupt import Interrupt
    from hfgen._io.target_cache import Question, TargetCache
    from hfgen._options import OnRetry

T = TypeVar("T")

log = logging.getLogger("hfgen")

_READS = (Read, Peek)
_WAITS = (Send, *_READS)


async def drive(  # noqa: C901, PLR0912 - a branch for each step
    conversation: Conversation[T],
    fetch: AsyncFetch,
    interrupt: Interrupt,
    on_retry: OnRetry | None,
    cache: TargetCache,
) -> T:
    """Do each step that the conversation yields; return its result."""
    response: FetchResponse | None = None
    try:
        step = next(conversation)
        while True:
            waits = isinstance(step, _WAITS)
            try:
                with AbortScope(interrupt) if waits else contextlib.nullcontext():
                    match step:
                        case Send():
                            reply: Any = await _send(step, fetch, interrupt, on_retry)
                        case Read():
                            reply = await _read(step.response, step.limit)
                        case Peek():
                            reply = await _peek(step.response)
                        case Drop():
                            reply = None
                            await _close(step.response)
                        case Ask():
                            reply = await _ask(step, fetch, interrupt, on_retry, cache)
            except Exception as error:  # noqa: BLE001 - a caller's `fetch` raises what it likes
                if isinstance(step, _READS):
                    # The abort may have come before the read, which closes the response.
                    await _close(step.response)
                failure = None if isinstance(step, Ask) else to_hfgen_error(error, interrupt)
                step = conversation.throw(failure or error)
            else:
                if isinstance(step, Send):
                    response = reply
                step = conversation.send(reply)
    except StopIteration as stop:
        # The deadline does not run while the caller has not asked for an item.
        interrupt.deadline = None
        result: T = stop.value
        return result
    except asyncio.CancelledError:
        # There is no stream yet that would close the response.
        if response is not None:
            await _close(response)
        raise


async def _ask(
    step: Ask,
    fetch: AsyncFetch,
    interrupt: Interrupt,
    on_retry: OnRetry | None,
    cache: TargetCache,
) -> tuple[Target, ...]:
    async def wait(question: Question) -> None:
        with AbortScope(interrupt):
            # Another call asks, maybe in another thread. `await question` would cancel its future.
            await asyncio.wait([asyncio.wrap_future(question)])

    return await cache.aget_or_ask(
        step.key,
        step.caller,
        lambda: drive(step.begin(), fetch, interrupt, on_retry, cache),
        wait,
        asyncio.current_task(),
    )


async def _peek(response: FetchResponse) -> bytes | None:
    piece = await anext(response.body, None)  # type: ignore[call-overload] # checked
    return None if piece is None else check_piece(piece)


async def _send(
    step: Send, fetch: AsyncFetch, interrupt: Interrupt, on_retry: OnRetry | None
) -> FetchResponse:
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
        if on_retry is not None and inspect.isawaitable(
            outcome := on_retry(step.retries, step.wait, step.error)
        ):
            await outcome
        interrupt.deadline = None
        await asyncio.sleep(step.wait)
    interrupt.expect_first()
    log.debug("%r", step.request)
    return check_response(await fetch(step.request), asynchronous=True)


async def _read(response: FetchResponse, limit: int) -> bytes:
    body = bytearray()
    try:
        async for piece in response.body:  # type: ignore[union-attr] # checked
            body += check_piece(piece)
            if len(body) >= limit:
                # In place, because a copy may be large.
                del body[limit:]
                break
    finally:
        await _close(response)
    return bytes(body)


async def _close(response: FetchResponse) -> None:
    if (closing := close_on_loop(asyncio.get_running_loop(), response.close)) is not None:
        await closing
