import json
import logging
import sys
from datetime import datetime

import pytest

from hfgen._cli.serve_log import JsonFormatter, TextFormatter


@pytest.fixture
def make_record():
    def make(message, *, fields=None, exc_info=None):
        record = logging.LogRecord(
            "hfgen.server", logging.INFO, "file", 1, "%s", (message,), exc_info
        )
        if fields is not None:
            record.fields = fields
        return record

    return make


def test_a_line_has_time_level_and_sentence(make_record):
    time, level, message = TextFormatter().format(make_record("it runs")).split(" ", 2)
    assert datetime.fromisoformat(time)
    assert (level, message) == ("INFO", "it runs")


def test_control_characters_are_escaped_in_a_line(make_record):
    line = TextFormatter().format(make_record("a\x1b[1m\r\n\u2028\ud800é🦊"))
    assert line.endswith(r"a\x1b[1m\r\n\u2028\ud800é🦊")


def test_json_has_the_fields(make_record):
    line = JsonFormatter().format(make_record("a\n\ud800é", fields={"status": 200}))
    assert "\n" not in line
    document = json.loads(line)
    assert datetime.fromisoformat(document.pop("time")).tzinfo
    assert document == {"level": "info", "message": "a\n\ud800é", "status": 200}


def test_tracebacks(make_record):
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        record = make_record("it failed", exc_info=sys.exc_info())
    assert "ZeroDivisionError: a bug" in json.loads(JsonFormatter().format(record))["traceback"]
    assert TextFormatter().format(record).endswith("\nZeroDivisionError: a bug")
