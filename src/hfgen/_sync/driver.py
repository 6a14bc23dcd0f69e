"""`drive` of the sync side: does the steps of a conversation, in the caller's thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from hfgen._core.conversation import Ask, Drop, Peek, Read, Send
from hfgen._core.fetch import check_piece, check_response, to_hfgen_error

if TYPE_CHECKING:
    from hfgen._core.conversation import Conversation
    from hfgen._core.fetch import Fetch, FetchResponse
    from hfgen._core.target import Target
    from hfgen._io.interrupt import Interrupt
    from hfgen._io.target_cache import Question, TargetCache
    from hfgen._options import OnRetry

T = TypeVar("T")

log = logging.getLogger("hfgen")


# Seconds after which a thread that waits for another call's question checks for an abort.
_CHECK_INTERVAL = 0.05


def drive(  # noqa: C901 - a branch for each step
    conversation: Conversation[T],
    fetch: Fetch,
    interrupt: Interrupt,
    on_retry: OnRetry | None,
    cache: TargetCache,
) -> T:
    """Do each step that the conversation yields; return its result."""
    response: FetchResponse | None = None
    try:
        step = next(conversation)
        while True:
            try:
                match step:
                    case Send():
                        reply: Any = _send(step, fetch, interrupt, on_retry)
                        response = reply
                    case Read():
                        reply = _read(step.response, step.limit, interrupt)
                    case Peek():
                        reply = _peek(step.response, interrupt)
                    case Drop():
                        reply = step.response.close()
                    case Ask():
                        reply = _ask(step, fetch, interrupt, on_retry, cache)
            except Exception as error:  # noqa: BLE001 - a caller's `fetch` raises what it likes
                failure = None if isinstance(step, Ask) else to_hfgen_error(error, interrupt)
                step = conversation.throw(failure or error)
            else:
                step = conversation.send(reply)
    except StopIteration as stop:
        # The deadline does not run while the caller has not asked for an item.
        interrupt.deadline = None
        result: T = stop.value
        return result
    except Exception:
        raise
    except BaseException:
        # Ctrl-C: there is no stream yet that would close the response.
        if response is not None:
            response.close()
        raise


def _ask(
    step: Ask,
    fetch: Fetch,
    interrupt: Interrupt,
    on_retry: OnRetry | None,
    cache: TargetCache,
) -> tuple[Target, ...]:
    def ask() -> tuple[Target, ...]:
        return drive(step.begin(), fetch, interrupt, on_retry, cache)

    def wait(question: Question) -> None:
        while not question.done():
            interrupt.wait(_CHECK_INTERVAL)
            interrupt.throw_if_aborted()

    return cache.get_or_ask(step.key, step.caller, ask, wait)


def _send(
    step: Send, fetch: Fetch, interrupt: Interrupt, on_retry: OnRetry | None
) -> FetchResponse:
    if step.error is not None:
        log.info("trying again in %.1f s: %s", step.wait, step.error)
        if on_retry is not None:
            on_retry(step.retries, step.wait, step.error)
        interrupt.deadline = None
        if step.wait:
            interrupt.wait(step.wait)
    interrupt.throw_if_aborted()
    interrupt.expect_first()
    log.debug("%r", step.request)
    return check_response(fetch(step.request), asynchronous=False)


def _peek(response: FetchResponse, interrupt: Interrupt) -> bytes | None:
    unsubscribe = interrupt.subscribe(response.close)
    try:
        piece = next(response.body, None)  # type: ignore[call-overload] # checked
    finally:
        unsubscribe()
    # A connection that was cut can look like the end of the body.
    interrupt.throw_if_aborted()
    return None if piece is None else check_piece(piece)


def _read(response: FetchResponse, limit: int, interrupt: Interrupt) -> bytes:
    unsubscribe = interrupt.subscribe(response.close)
    body = bytearray()
    try:
        for piece in response.body:  # type: ignore[union-attr] # checked
            body += check_piece(piece)
            if len(body) >= limit:
                # In place, because a copy may be large.
                del body[limit:]
                break
    finally:
        unsubscribe()
        response.close()
    interrupt.throw_if_aborted()
    return bytes(body)
