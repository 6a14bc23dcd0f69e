"""Finished rows without a server: what the tests of `_files` store and look for."""

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from hfgen import InvalidRequestError
from hfgen._bulk.results import BulkResult
from hfgen._files.prompt import Prompt
from hfgen._files.record import Record, RecordMaker
from hfgen._files.row import Row
from hfgen._files.store import Store
from hfgen._files.target import Target
from hfgen.types import Details, GeneratedText

SETTINGS = {"input": "a digest", "parameters": {"temperature": 0.7}}


def run(*arguments, before=()):
    """Run Python in another process with the same import path."""
    return subprocess.run(
        [*before, sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def open_store(path, **options):
    """Open the store of an output."""
    options.setdefault("settings", SETTINGS)
    return Store(Target.from_name(str(path)), **options)


def record(index, error=None, *, tokens=None, size=0, digest=None):
    """Return the record of a row with its number, in a line of at least `size` bytes."""
    columns = {"id": index, "text": "x" * size}
    if error:
        columns["error"] = {"type": error}
    return Record(index, json.dumps(columns).encode() + b"\n", error, tokens, digest)


def rows(count):
    """Yield `count` rows."""
    for index in range(count):
        yield Row(index, {"inputs": f"prompt {index}"})


def ids(path):
    """The numbers of the rows in an output, in its order."""
    return [json.loads(line)["id"] for line in Path(path).read_bytes().splitlines()]


def result(row, prompt=None, **facts):
    """Return the result of a row: its prompt as the text, or its error if it has no prompt."""
    try:
        text = (prompt or Prompt())(row)["inputs"]
    except InvalidRequestError as error:
        return BulkResult(index=row.index, row=row, error=error)
    details = Details(generated_tokens=len(text.split()), finish_reason="length")
    answer = GeneratedText(generated_text=text, details=details)
    return BulkResult(index=row.index, row=row, answers=[answer], attempts=1, **facts)


def finish(store, source, *, batch=100, **options):
    """Store a result for each row of the input that has none yet."""
    record_maker, records = RecordMaker(**options), []
    for row in store.skip_finished(source.rows()):
        records.append(record_maker.make_record(result(row)))
        if len(records) == batch:
            store.commit(records)
            records = []
    store.commit(records)


@contextmanager
def limit_file_size(size):
    """Let no file grow beyond `size` bytes, as on a full disk. This needs no root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
