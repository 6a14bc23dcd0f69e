"""What is said over one connection: requests are read, and answered as the script has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen.testing import _http
from hfgen.testing._answer import Cut, Hang, Pause
from hfgen.testing._request import note_hang_up

if TYPE_CHECKING:
    from hfgen.testing._answer import ScriptedAnswer
    from hfgen.testing._connection import Line
    from hfgen.testing._record import Ledger
    from hfgen.testing._request import RecordedRequest

_NO_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n"
    b"this is no HTTP/1.1: "
)


class _OverError(Exception):
    """The connection is to be closed: because of a `Cut`, or because the client hung up."""

    def __init__(self, cut: Cut | None) -> None:
        super().__init__()
        self.cut = cut


def converse(line: Line, ledger: Ledger) -> None:
    """Answer what is asked over the connection until it ends, and close it."""
    cut: Cut | None = None
    try:
        if line.shake_hands():
            while not ledger.stopped and _exchange(line, ledger):
                pass
    except _OverError as over:
        cut = over.cut
    finally:
        line.close(in_order=cut is None, reset=cut is not None and cut.reset)


def _exchange(line: Line, ledger: Ledger) -> bool:
    """Answer one request; return whether there may be another one.

    Raises:
        _OverError: The answer ends the connection before its own end.
    """
    try:
        request = line.read()
    except _http.NoRequestError as error:
        _refuse(line, str(error))
        return False
    if request is None:
        return False
    answer = ledger.begin(request)
    try:
        _send(line, request, answer)
        request.answered.set()
    except (OSError, EOFError):
        # What the server breaks off because it is being closed, the client has not left.
        if not ledger.stopped:
            note_hang_up(request)
        raise _OverError(None) from None
    except _OverError:
        request.answered.set()
        raise
    finally:
        ledger.end()
    return line.keeps and answer.framing in {"chunked", "length"}


def _send(line: Line, request: RecordedRequest, answer: ScriptedAnswer) -> None:
    """Send the answer.

    Raises:
        OSError: The client has hung up.
        EOFError: The same.
        _OverError: There is a `Cut` in the body.
    """
    _wait(line, answer.delay)
    if answer.framing != "raw":
        line.send(_http.head(answer, keeps_connection=line.keeps))
    if not _http.has_body(answer, request.method):
        return
    for step in answer.body:
        if isinstance(step, bytes):
            line.send(_http.frame(answer, step))
            request.bytes_sent += len(step)
        elif isinstance(step, Pause):
            _wait(line, step.seconds)
        elif isinstance(step, Hang):
            _wait(line, None)
        else:
            raise _OverError(step)
    if answer.framing == "chunked":
        line.send(b"0\r\n\r\n")


def _wait(line: Line, seconds: float | None) -> None:
    if not line.idle(seconds):
        raise EOFError


def _refuse(line: Line, reason: str) -> None:
    try:
        line.send(_NO_REQUEST + reason.encode() + b"\n")
    except OSError:
        return
