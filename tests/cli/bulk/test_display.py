"""What is shown while it runs: live on a terminal, else a line every now and then."""

import os
import pty
import re
import signal
import sys
import threading

import pytest

from helpers.bulk_rows import answer_prompt, check, prompts
from hfgen._cli.bulk.command import choose_progress
from hfgen._cli.bulk.progress import Lines, format_line
from hfgen._cli.bulk.tally import View
from hfgen.testing import Hang, ScriptedServer, tokens

_HIDDEN, _SHOWN = "\x1b[?25l", "\x1b[?25h"


def view(**changes):
    usual = {
        "done": 61_000,
        "total": 100_000,
        "rows_per_second": 84.25,
        "tokens_per_second": 10_120.4,
        "in_flight": 64,
        "limit": 72,
        "retries": 12,
        "errors": {},
        "seconds_left": 463.2,
    }
    return View(**usual | changes)


def test_all_on_one_line():
    assert format_line(view()) == (
        "61,000 of 100,000 rows (61%), 84.2 rows/s, 10,120 tokens/s, 64 in flight of 72, "
        "12 retries, 0 errors, 7 min 43 s left"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"errors": {"A": 1, "B": 2_000}}, "2,001 errors (B 2,000, A 1), "),
        ({"errors": {"A": 1}}, "1 error (A 1), "),
        ({"done": 99_999}, "(99%)"),
        ({"total": None, "seconds_left": None}, "61,000 rows, "),
        (
            {"paused_servers": ("http://a", "http://b"), "last_error": "no"},
            "paused: http://a, http://b (no)",
        ),
        ({"is_stopping": True}, "stopping, 64 still running"),
        ({"seconds_left": 0.2}, ", 1 s left"),
        ({"seconds_left": 93_600}, ", 1 d 2 h left"),
        ({"total": 0, "done": 0}, "0 of 0 rows (100%)"),
    ],
)
def test_parts_of_the_line(changes, says):
    assert says in format_line(view(**changes))


def test_lines_come_soon_at_first_and_seldom_later(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as file:
        lines = Lines(file)
        for tick in range(1200):
            lines.show(view(done=tick), tick / 2)
    shown = [int(text.split()[1].replace(",", "")) / 2 for text in path.read_text().splitlines()]
    assert shown == [2, 6, 14, 30, 62, *range(122, 600, 60)]


def test_no_terminal_no_display(tmp_path, monkeypatch):
    with (tmp_path / "log").open("w") as file:
        assert isinstance(choose_progress(file), Lines)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(choose_progress(file), Lines)
    os.close(ours)


def test_lines_on_a_terminal_where_rich_is_not_installed(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delitem(sys.modules, "hfgen._cli.bulk.display", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        assert isinstance(choose_progress(file), Lines)
    os.close(ours)


class Terminal:
    """A pseudo-terminal, and all that a process writes to it."""

    def __init__(self):
        self._ours, self.theirs = pty.openpty()
        self._output = bytearray()
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text):
        with self._changed:
            assert self._changed.wait_for(lambda: text in self._text(), 30), self._text()

    def close(self):
        os.close(self.theirs)
        self._reader.join()
        os.close(self._ours)
        return self._text()

    def _text(self):
        return self._output.decode(errors="replace")

    def _read(self):
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:
                return
            with self._changed:
                self._output += data
                self._changed.notify_all()


@pytest.fixture
def terminal(monkeypatch):
    pytest.importorskip("rich")
    # Of the process that is started.
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_live_on_a_terminal(folder, terminal):
    folder.write([*prompts(60), {"id": 60}])
    with ScriptedServer(lambda request: answer_prompt(request, after=0.1)) as server:
        process = folder.start(server.url, "--concurrency", "4", stderr=terminal.theirs)
        assert process.wait(timeout=60) == 3
    shown = terminal.close()
    check([row for row in folder.rows() if row["id"] < 60], 60)
    assert re.search(r"\d+ of 61 rows \(\d+%\)", shown)
    assert "4 in flight of 4" in shown
    assert "1 error (InvalidRequestError 1)" in shown
    assert shown.rindex(_HIDDEN) < shown.rindex(_SHOWN) < shown.index("hfgen: 61 rows done")
    # It is drawn in its place, and taken away at the end.
    assert "\x1b[1A" in shown


def test_the_terminal_is_left_in_order_however_it_ends(folder, terminal):
    folder.write(prompts(3))
    with ScriptedServer(tokens("never", Hang())) as server:
        process = folder.start(server.url, stderr=terminal.theirs)
        terminal.wait_for("1 in flight")
        process.send_signal(signal.SIGINT)
        terminal.wait_for("again stops at once")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    shown = terminal.close()
    assert shown.rindex(_HIDDEN) < shown.rindex(_SHOWN) < shown.index("stopped at once")


def test_a_terminal_that_goes_does_not_end_the_run(folder, hfgen):
    folder.write(prompts(40))
    with ScriptedServer(lambda request: answer_prompt(request, after=0.4)) as server:
        process = folder.start(server.url, "--concurrency", "4")
        server.request(0, timeout=30)
        process.stderr.close()
        assert process.wait(timeout=60) == 0
        process.stderr = None
    check(folder.rows(), 40)
