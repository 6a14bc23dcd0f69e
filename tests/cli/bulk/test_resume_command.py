"""The command that goes on with a run."""

import sys

import pytest

from hfgen._cli.bulk.resume_command import resume_command


@pytest.fixture(autouse=True)
def set_program_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/hfgen"])


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["bulk", "a b.jsonl", "-o", "o"], "bulk 'a b.jsonl' -o o"),
        (["bulk", "--template", "{x}; $HOME"], "bulk --template '{x}; $HOME'"),
        (["bulk", "--restart", "-o", "o"], "bulk -o o"),
        (["bulk", "--rest", "--retry-err", "--report", "r"], "bulk --report r"),
        (["bulk", "--return-full-text", "--repetition-penalty", "2"], None),
        (["bulk", "--api-key", "hf_secret", "x"], "bulk --api-key ... x"),
        (["bulk", "--api-key=hf_secret"], "bulk --api-key=..."),
        (["bulk", "--api-k", "hf_secret"], "bulk --api-k ..."),
        (["bulk", "--api-url", "http://a/?key=secret"], "bulk --api-url 'http://a/?...'"),
        (["bulk", "--api-url=http://a/?key=secret", "x?"], "bulk '--api-url=http://a/?...' 'x?'"),
        (["bulk", "--template", "http://a/?{q}"], "bulk --template 'http://a/?{q}'"),
    ],
)
def test_what_is_shown(arguments, shown):
    assert resume_command(arguments) == f"hfgen {shown or ' '.join(arguments)}"


def test_more_is_added():
    assert (
        resume_command(["bulk", "x", "--retry-errors"], "--retry-errors")
        == "hfgen bulk x --retry-errors"
    )


def test_as_a_module(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/hfgen/__main__.py"])
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3.12")
    assert resume_command(["bulk"]) == "python3.12 -m hfgen bulk"
