"""Bulk runs in a process of their own: rows in, rows out, and what is to be true of them."""

import contextlib
import json
import shutil
import sqlite3

import pytest


class Folder:
    """A folder with an input and an output."""

    def __init__(self, path, hfgen):
        self.path = path
        self._hfgen = hfgen
        self.input = path / "in.jsonl"
        self.output = path / "out.jsonl"

    def write(self, rows):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        self.input.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def rows(self, output=None):
        text = (output or self.output).read_text(encoding="utf-8")
        # Not splitlines: texts may hold what it takes for a line's end.
        return [json.loads(line) for line in text.removesuffix("\n").split("\n")]

    def count_lines(self):
        """How many lines there are, whether they count already or not."""
        return self.output.read_bytes().count(b"\n") if self.output.exists() else 0

    def count_finished(self):
        """How many rows count as finished. Asked of a copy: what was killed mends itself."""
        state, copy = self.path / "out.jsonl.state", self.path / "copy"
        if not state.exists():
            return 0
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in self.path.glob("out.jsonl.state*"):
            shutil.copy(path, copy)
        with contextlib.closing(sqlite3.connect(copy / state.name)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone():
                return 0
            return connection.execute("SELECT COUNT(*) FROM rows").fetchone()[0]

    def arguments(self, url, *arguments):
        server = ("--api-url", url) if url else ()
        return ("bulk", str(self.input), "-o", str(self.output), *server, *arguments)

    def run(self, url, *arguments, **options):
        return self._hfgen(*self.arguments(url, *arguments), **options)

    def start(self, url, *arguments, **options):
        return self._hfgen.start(*self.arguments(url, *arguments), **options)

    def start_ignoring(self, number, url, *arguments):
        return self._hfgen.start_ignoring(number, *self.arguments(url, *arguments))


@pytest.fixture
def folder(tmp_path, hfgen):
    return Folder(tmp_path, hfgen)
