"""`Bulk`, the results of `Client.generate_many`: a dispatcher, and a thread for each request."""

from __future__ import annotations

import _thread
import os
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hfgen._bulk.attempt import AnswerCollector, run_call, sessions_by_server, stream_call
from hfgen._bulk.dispatcher import Dispatcher
from hfgen._bulk.plan import closed_error, make_request
from hfgen._core.errors import HfgenError
from hfgen._io.signal import AbortController

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from hfgen._bulk.dispatcher import Attempt, Outcome
    from hfgen._bulk.plan import BulkPlan
    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._core.request import AnyRequest
    from hfgen._sync.session import Session

Row = TypeVar("Row")

# Seconds that closing waits for its threads, whose calls have been aborted.
_CLOSE_TIMEOUT = 1.0
# If taking a row takes longer, in seconds, results that are ready go first.
_SLOW = 0.05


class Bulk(Generic[Row]):
    """The results of `Client.generate_many`: an iterator and a context manager.

    When a `for` loop over it ends, in any way, it is closed: running requests are cancelled. To
    take some results and go on later, use `next`. Iterating over it after it was closed early
    raises `StreamClosedError`.

    `next` takes rows from the input in the calling thread, ahead of the results by the number of
    concurrent requests. One thread iterates; any thread, and a signal handler, may call `drain` and
    `close`.
    """

    def __init__(
        self,
        session: Session,
        rows: Iterable[Row],
        request: Callable[[Row], AnyRequest] | None,
        plan: BulkPlan,
    ) -> None:
        # The threads do not refer to this object, so dropping it cancels them.
        self._engine = _Engine(session, rows, request, plan)

    @property
    def statistics(self) -> BulkStatistics:
        """Counts and times so far; they change while requests run."""
        return self._engine.dispatcher.statistics

    def drain(self) -> None:
        """Take no more rows. The iteration ends after the results of the running requests.

        Rows that wait for a request or a retry get no result.
        """
        self._engine.drain()

    def close(self) -> None:
        """Cancel running requests and close their connections. May be called repeatedly."""
        self._engine.close()

    def __iter__(self) -> Iterator[BulkResult[Row]]:
        # A generator for each loop: when the loop drops it, `finally` closes all.
        try:
            while True:
                try:
                    result = self._engine.next()
                except StopIteration:
                    return
                yield result
        finally:
            self.close()

    def __next__(self) -> BulkResult[Row]:
        return self._engine.next()

    def __enter__(self) -> Bulk[Row]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._engine.cancel()


class _Engine(Generic[Row]):
    """Takes rows in the thread that iterates, and makes attempts in threads of its own.

    Ctrl-C may interrupt the thread that iterates at any place, also inside the Python code of
    `threading.Condition` and `Thread.start`, whose locks would then stay locked. So that thread
    uses only a `Lock` and `SimpleQueue`s, which are written in C, and starts no thread itself.
    """

    def __init__(
        self,
        session: Session,
        rows: Iterable[Row],
        request: Callable[[Row], AnyRequest] | None,
        plan: BulkPlan,
    ) -> None:
        settings = session.settings
        self.dispatcher: Dispatcher[Row] = Dispatcher(plan, eager=True)
        self._signal = settings.signal
        self._on_retry = settings.on_retry
        self._controller = AbortController()
        self._sessions = sessions_by_server(session, plan, self._controller.signal)
        self._request = request
        self._settings = settings
        self._rows = rows
        self._iterator: Iterator[Row] | None = None
        self._is_input_slow = False
        self._process: int | None = None
        # Guards the dispatcher.
        self._lock = threading.Lock()
        # Has an item if the thread that iterates has to look at the dispatcher again.
        self._changes: SimpleQueue[None] = SimpleQueue()
        # None ends the threads: each one puts it back for the next.
        self._attempts: SimpleQueue[Attempt[Row] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._unsubscribe: Callable[[], object] | None = None
        self._is_draining = False
        self._has_ended = False
        self._is_cancelled = False

    def next(self) -> BulkResult[Row]:
        """Return the next result.

        Raises:
            StopIteration: There are no more.
        """
        self._begin()
        try:
            while (result := self._wait_for_result()) is None:
                self._take_row()
        except BaseException as error:
            if not self._is_cancelled:
                self._has_ended = isinstance(error, Exception)
            # Ctrl-C does not wait for the threads.
            self.close(_CLOSE_TIMEOUT if isinstance(error, Exception) else 0.0)
            raise
        return result

    def drain(self) -> None:
        """Take no more rows."""
        # Only a flag: a signal handler may call this in the middle of a method of the dispatcher.
        self._is_draining = True
        self._notify()

    def cancel(self) -> None:
        """Cancel running requests. May be called again, if Ctrl-C has interrupted it."""
        self._is_cancelled = True
        if self._process != os.getpid():
            # Never started, or started by the process that this one was forked from.
            return
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._controller.abort("the results were closed")
        self._attempts.put(None)

    def close(self, timeout: float = _CLOSE_TIMEOUT) -> None:
        """Cancel, and wait at most `timeout` seconds for the threads to end."""
        self.cancel()
        if self._process != os.getpid():
            return
        self._notify()
        until = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(until - time.monotonic(), 0.0))

    def _begin(self) -> None:
        if self._process is None and not self._is_cancelled:
            self._iterator = iter(self._rows)
            self._process = os.getpid()
            if self._signal is not None:
                self._unsubscribe = self._signal.subscribe(self._notify)
        elif self._process is not None and self._process != os.getpid():
            raise HfgenError("results are taken in the process in which they were begun")

    def _wait_for_result(self) -> BulkResult[Row] | None:
        """Return the next result when there is one, None if a row is to be taken first."""
        dispatcher = self.dispatcher
        while True:
            with self._lock:
                if self._is_cancelled and not self._has_ended:
                    raise closed_error()
                if self._signal is not None:
                    self._signal.throw_if_aborted()
                self._start_attempts()
                if dispatcher.wants_row and not (dispatcher.has_result and self._is_input_slow):
                    return None
                if (result := dispatcher.take_result()) is not None:
                    return result
                if dispatcher.is_over:
                    raise dispatcher.error or StopIteration
                now = time.monotonic()
                at = dispatcher.wake_at(now)
            with suppress(Empty):
                self._changes.get(timeout=None if at is None else max(at - now, 0.0))

    def _take_row(self) -> None:
        """Take a row from the input while attempts run."""
        assert self._iterator is not None
        began = time.monotonic()
        try:
            row = next(self._iterator)
            row_request = make_request(row, self._request, self._settings)
        except StopIteration:
            with self._lock:
                self.dispatcher.end_input()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            with self._lock:
                self.dispatcher.end_input(error)
        else:
            self._is_input_slow = time.monotonic() - began > _SLOW
            with self._lock:
                self.dispatcher.add_row(row, row_request)

    def _start_attempts(self) -> None:
        """Start the attempts that may start now."""
        if self._is_draining:
            self.dispatcher.drain()
        while (
            not self._is_cancelled
            and (attempt := self.dispatcher.begin_attempt(time.monotonic())) is not None
        ):
            if self._idle:
                self._idle -= 1
            else:
                self._add_thread()
            self._attempts.put(attempt)

    def _add_thread(self) -> None:
        name = f"hfgen-bulk-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        _thread.start_new_thread(self._start_thread, (thread,))

    def _start_thread(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except BaseException as error:  # noqa: BLE001 - `next` raises it
            self._fail(error)

    def _work(self) -> None:
        """Make attempts until `cancel`."""
        while (attempt := self._attempts.get()) is not None and not self._is_cancelled:
            try:
                self._try(attempt)
            except BaseException as error:  # noqa: BLE001 - of a caller's `fetch` or `on_retry`
                self._fail(error)
        self._attempts.put(None)

    def _try(self, attempt: Attempt[Row]) -> None:
        job = attempt.job
        session = self._sessions[attempt.server.url]
        outcome = _attempt(session, job.request, stream=job.stream)
        with self._lock:
            if self._is_cancelled:
                return
            again = self.dispatcher.end_attempt(attempt, outcome, time.monotonic())
            if again is None or self._on_retry is None:
                self._idle += 1
            self._start_attempts()
        self._notify()
        if again is not None and self._on_retry is not None:
            self._on_retry(job.attempts, *again)
            with self._lock:
                self._idle += 1

    def _fail(self, error: BaseException) -> None:
        """End the iteration with this error."""
        with self._lock:
            self.dispatcher.fail(error)
        self._notify()

    def _notify(self) -> None:
        """Wake the thread that iterates. Any thread and a signal handler may call this."""
        if self._changes.empty():
            self._changes.put(None)


def _attempt(session: Session, request: Mapping[str, Any], *, stream: bool) -> Outcome:
    collector = AnswerCollector(request, time.monotonic)
    settings = session.settings
    try:
        if not stream:
            call = run_call(request, settings)
            return collector.outcome_of(session.drive(call.converse, settings))
        with session.open_stream(stream_call(request, settings), settings) as chunks:
            for chunk in chunks:
                collector.take(chunk)
    except HfgenError as error:
        return collector.error_outcome(error)
    return collector.outcome()
