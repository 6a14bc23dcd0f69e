"""The report of a run: one HTML file with facts, plots and errors, which needs no other files."""

from __future__ import annotations

import os
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hfgen._cli.bulk.report.recorder import Recorder
from hfgen._cli.units import format_duration, format_number
from hfgen._core.errors import BulkFileError
from hfgen._files.durable import choose_scratch_path
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
    """A page that is written at the end of a run.

    Args:
        name: The path of the page.
        run_files: The files of the run, which the page must not overwrite.

    Attributes:
        path: The same, as a path.
        recorder: Records the run while it goes on.

    Raises:
        BulkFileError: matplotlib is not installed, or the page cannot be written there.
    """

    def __init__(self, name: str, run_files: Iterable[Path]) -> None:
        self.path = Path(name)
        if self.path.resolve() in run_files:
            raise BulkFileError(f"the report would overwrite {name}: choose another name for it")
        if self.path.is_dir() or not os.access(self.path.absolute().parent, os.W_OK | os.X_OK):
            raise BulkFileError(f"cannot write {name}: its folder is missing or not writable")
        with explain_missing("--report", "report"):
            import hfgen._cli.bulk.report.plots  # noqa: F401, PLC0415 - needs matplotlib
        self.recorder = Recorder()

    def write(self, title: str, facts: Mapping[str, str]) -> None:
        """Write the page; it replaces an older one.

        Args:
            title: The heading.
            facts: Further facts about the run, by name.

        Raises:
            BulkFileError: The page cannot be written.
        """
        # Names of files may contain bytes that are not Unicode.
        document = make_page(self.recorder, title, facts).encode(errors="replace")
        new = choose_scratch_path(self.path)
        try:
            try:
                with new.open("xb") as file:
                    file.write(document)
                new.replace(self.path)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise BulkFileError(f"cannot write {self.path}: {error.strerror}") from error


def make_page(recorder: Recorder, title: str, facts: Mapping[str, str]) -> str:
    """Return the page, as HTML.

    Args:
        recorder: The record of the run.
        title: The heading.
        facts: Further facts about the run, by name.
    """
    from hfgen._cli.bulk.report.plots import draw_plots  # noqa: PLC0415 - needs matplotlib

    total = recorder.timeline.sum_bins()
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f'<div class="side">{_format_table(facts.items())}',
            _format_table(_list_totals(recorder, total)),
            f"{_format_delays(total)}</div>",
            *_format_errors(recorder, total),
            "<h2>Plots</h2>",
            '<div class="plots">',
            *(_format_figure(index, *plot) for index, plot in enumerate(draw_plots(recorder))),
            "</div></body></html>\n",
        )
    )


def _list_totals(recorder: Recorder, total: Bin) -> Iterator[tuple[str, str]]:
    seconds = max(recorder.seconds, 1e-9)
    yield "Took", format_duration(recorder.seconds)
    yield "Rows with text", format_number(total.rows)
    yield "Rows with errors", format_number(sum(total.errors.values()))
    yield "Rows/s", format_number((total.rows + sum(total.errors.values())) / seconds)
    yield "Tokens", format_number(total.tokens)
    yield "Tokens/s", format_number(total.tokens / seconds)
    yield "Retries", format_number(total.retries)
    yield "Most in flight", format_number(total.in_flight)


def _format_delays(total: Bin) -> str:
    shares = {"5 %": 0.05, "median": 0.5, "95 %": 0.95, "99 %": 0.99}
    head = "".join(f"<th>{name}</th>" for name in shares)
    rows = (
        ("Latency", total.latency),
        ("Time to first token", total.time_to_first_token),
    )
    body = "".join(_format_quantiles(name, histogram, shares.values()) for name, histogram in rows)
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _format_quantiles(name: str, histogram: Histogram, shares: Iterable[float]) -> str:
    found = [histogram.quantile(share) for share in shares]
    cells = "".join(f"<td>{'' if x is None else format_duration(x)}</td>" for x in found)
    return f"<tr><th>{name}</th>{cells}</tr>"


def _format_errors(recorder: Recorder, total: Bin) -> Iterator[str]:
    if not total.errors:
        return
    yield "<h2>Errors</h2><table><tr><th>type</th><th>rows</th><th>the first one</th></tr>"
    for name, count in sorted(total.errors.items(), key=lambda item: -item[1]):
        message = escape(recorder.messages.get(name, ""))
        yield (
            f'<tr><td>{escape(name)}</td><td class="number">{format_number(count)}</td>'
            f"<td>{message}</td></tr>"
        )
    yield "</table>"


def _format_table(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts)
    return f"<table>{rows}</table>"


def _format_figure(index: int, title: str, svg: str) -> str:
    # The plots use the same ids; in one document, ids must be unique.
    own = _IDS.sub(rf"\g<1>plot{index}-", svg)
    return f"<figure><figcaption>{escape(title)}</figcaption>{own}</figure>"
