"""The report of a run: one HTML file with facts, plots and errors, which needs no other file."""

from __future__ import annotations

import os
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hfgen._cli.bulk.report.recorder import Recorder
from hfgen._cli.units import duration, number
from hfgen._core.errors import BulkFileError
from hfgen._files.extras import explain_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hfgen._cli.bulk.report.recorder import Bin, Histogram

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #24282e; background: #fff;
  max-width: 1180px; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.5em; margin: 0 0 .6em; } h2 { font-size: 1.15em; margin: 2em 0 .4em; }
table { border-collapse: collapse; } td, th { padding: .15em 1.2em .15em 0; text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums; }
th { font-weight: 500; color: #5b616a; white-space: nowrap; } td { overflow-wrap: anywhere; }
td.number { text-align: right; white-space: nowrap; }
.side { display: flex; flex-wrap: wrap; align-items: start; gap: 1em 4em; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(500px, 1fr)); gap: 1.2em; }
figure { margin: 0; } figcaption { font-weight: 500; } svg { width: 100%; height: auto; }
"""
_IDS = re.compile(r'(\bid="|url\(#|href="#)')


class Report:
    """A page that is written at the end.

    Args:
        name: The path of the page.
        others: The run's own files, none of which it may be.

    Attributes:
        path: The same, as a path.
        recorder: To be told of the run while it goes on.

    Raises:
        BulkFileError: What draws it is not installed, or there can be no such file.
    """

    def __init__(self, name: str, others: Iterable[Path]) -> None:
        self.path = Path(name)
        if self.path.resolve() in others:
            raise BulkFileError(f"the report would overwrite {name}: choose another name for it")
        if self.path.is_dir() or not os.access(self.path.absolute().parent, os.W_OK | os.X_OK):
            raise BulkFileError(f"cannot write {name}: there is no folder for it, or no right to")
        with explain_missing("--report", "report"):
            import hfgen._cli.bulk.report.plots  # noqa: F401, PLC0415 - needs matplotlib
        self.recorder = Recorder()

    def write(self, title: str, facts: Mapping[str, str]) -> None:
        """Write it, in the place of an older one.

        Args:
            title: Its heading.
            facts: What else to say of the run, by name.

        Raises:
            BulkFileError: It cannot be written.
        """
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            # Names of files need not be Unicode.
            document = make_page(self.recorder, title, facts).encode(errors="replace")
            new.write_bytes(document)
            new.replace(self.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise BulkFileError(f"cannot write {self.path}: {error.strerror}") from error


def make_page(recorder: Recorder, title: str, facts: Mapping[str, str]) -> str:
    """Return the page, as HTML.

    Args:
        recorder: What was noted of the run.
        title: The heading.
        facts: What else to say of the run, by name.
    """
    from hfgen._cli.bulk.report.plots import plots  # noqa: PLC0415 - needs matplotlib

    whole = recorder.timeline.whole()
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f'<div class="side">{_table(facts.items())}{_table(_speed(recorder, whole))}',
            f"{_delays(whole)}</div>",
            *_errors(recorder, whole),
            "<h2>Plots</h2>",
            '<div class="plots">',
            *(_figure(place, *plot) for place, plot in enumerate(plots(recorder))),
            "</div></body></html>\n",
        )
    )


def _speed(recorder: Recorder, whole: Bin) -> Iterator[tuple[str, str]]:
    seconds = max(recorder.seconds, 1e-9)
    yield "Took", duration(recorder.seconds)
    yield "Rows with text", number(whole.rows)
    yield "Rows with errors", number(sum(whole.errors.values()))
    yield "Rows/s", number((whole.rows + sum(whole.errors.values())) / seconds)
    yield "Tokens", number(whole.tokens)
    yield "Tokens/s", number(whole.tokens / seconds)
    yield "Retries", number(whole.retries)
    yield "Most in flight", number(whole.in_flight)


def _delays(whole: Bin) -> str:
    shares = {"5 %": 0.05, "median": 0.5, "95 %": 0.95, "99 %": 0.99}
    head = "".join(f"<th>{name}</th>" for name in shares)
    rows = (
        ("Latency", whole.latency),
        ("Time to first token", whole.time_to_first_token),
    )
    body = "".join(_quantiles(name, histogram, shares.values()) for name, histogram in rows)
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _quantiles(name: str, histogram: Histogram, shares: Iterable[float]) -> str:
    found = [histogram.quantile(share) for share in shares]
    cells = "".join(f"<td>{'' if x is None else duration(x)}</td>" for x in found)
    return f"<tr><th>{name}</th>{cells}</tr>"


def _errors(recorder: Recorder, whole: Bin) -> Iterator[str]:
    if not whole.errors:
        return
    yield "<h2>Errors</h2><table><tr><th>type</th><th>rows</th><th>the first one</th></tr>"
    for name, count in sorted(whole.errors.items(), key=lambda item: -item[1]):
        message = escape(recorder.messages.get(name, ""))
        yield (
            f'<tr><td>{escape(name)}</td><td class="number">{number(count)}</td>'
            f"<td>{message}</td></tr>"
        )
    yield "</table>"


def _table(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts)
    return f"<table>{rows}</table>"


def _figure(place: int, title: str, svg: str) -> str:
    # Each drawing numbers its parts from one, and all are parts of one document here.
    own = _IDS.sub(rf"\g<1>plot{place}-", svg)
    return f"<figure><figcaption>{escape(title)}</figcaption>{own}</figure>"
