"""Draws the plots of a run, each as SVG. Needs matplotlib."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from hfgen._cli.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes

    from hfgen._cli.bulk.report.recorder import Bin, Histogram, Recorder

_BLUE, _ORANGE, _GREY = "#1c6dd0", "#d9730d", "#8a8f98"
# The colours of the types of errors, the most frequent type first.
_COLOURS = ("#c92a2a", "#e8890c", "#7048e8", "#0b7285", "#a61e4d", "#5c940d", "#495057")
# `Any`, because matplotlib's type for the keys is a literal of all its settings.
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#c4c8ce",
    "axes.grid": True,
    "axes.labelcolor": "#3b4048",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": "#e7e9ec",
    "legend.borderaxespad": 0.2,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "xtick.color": "#5b616a",
    "ytick.color": "#5b616a",
}
_SIZE = (7.2, 2.7)
_UNITS = ((3 * 3600, 3600.0, "hours"), (3 * 60, 60.0, "minutes"), (0, 1.0, "seconds"))
# Each bar of errors spans this many bins: errors are rare, and narrower bars are hard to see.
_BINS_PER_BAR = 4


@dataclass(frozen=True, slots=True)
class _Span:
    """The time axis: the bins, their edges, and the unit of these."""

    bins: list[Bin]
    edges: list[float]
    unit: str

    @classmethod
    def from_recorder(cls, recorder: Recorder) -> _Span:
        unit, name = next((u, n) for least, u, n in _UNITS if recorder.seconds >= least)
        bins, width = recorder.timeline.bins, recorder.timeline.width
        edges = [index * width / unit for index in range(len(bins))]
        # The last bin ends where the run does; it is drawn a quarter of its width at least.
        last = max(recorder.seconds, (len(bins) - 0.75) * width)
        return cls(bins, [*edges, min(last, len(bins) * width) / unit], name)

    def draw(self, axes: Axes, heights: Sequence[float], colour: str, label: str) -> None:
        axes.stairs(heights, self.edges, color=colour, fill=True, alpha=0.2)
        axes.stairs(heights, self.edges, color=colour, linewidth=1.2, label=label)

    def label_axes(self, axes: Axes, label: str) -> None:
        axes.set_xlim(0, self.edges[-1])
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        axes.set_xlabel(f"{self.unit} from the start")
        axes.set_ylabel(label)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4)


def draw_plots(recorder: Recorder) -> Iterator[tuple[str, str]]:
    """Yield title and SVG of each plot that has data."""
    span, total = _Span.from_recorder(recorder), recorder.timeline.sum_bins()
    if not span.bins:
        return
    seconds = recorder.timeline.width
    yield "Rows a second", _render_svg(lambda axes: _draw_rate(axes, span, seconds, "rows", _BLUE))
    if total.tokens:
        yield (
            "Tokens a second",
            _render_svg(lambda axes: _draw_rate(axes, span, seconds, "tokens", _ORANGE)),
        )
    if total.latency.count:
        yield "Latency over time", _render_svg(lambda axes: _draw_delays(axes, span, "latency"))
        yield (
            "Latency of all rows",
            _render_svg(lambda axes: _draw_distribution(axes, total.latency)),
        )
    if total.time_to_first_token.count:
        yield (
            "Time to first token over time",
            _render_svg(lambda axes: _draw_delays(axes, span, "time_to_first_token")),
        )
        yield (
            "Time to first token of all rows",
            _render_svg(lambda axes: _draw_distribution(axes, total.time_to_first_token)),
        )
    yield "Concurrency", _render_svg(lambda axes: _draw_concurrency(axes, span))
    if total.errors or total.retries:
        yield (
            "Errors and retries",
            _render_svg(lambda axes: _draw_errors(axes, span, seconds, total)),
        )


def _render_svg(draw: Callable[[Axes], None]) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _draw_rate(axes: Axes, span: _Span, seconds: float, name: str, colour: str) -> None:
    rates = [getattr(bin_, name) / seconds for bin_ in span.bins]
    if len(rates) > 1:
        # The last bin is shorter, so that its rate alone would be mostly chance. The last two bins
        # get the rate of both.
        full, rest = (b - a for a, b in zip(span.edges[-3:], span.edges[-2:], strict=False))
        rates[-2:] = [sum(rates[-2:]) * full / (full + rest)] * 2
    span.draw(axes, rates, colour, name)
    span.label_axes(axes, f"{name}/s")


def _draw_concurrency(axes: Axes, span: _Span) -> None:
    span.draw(axes, [bin_.in_flight for bin_ in span.bins], _BLUE, "in flight, at most")
    limits = [bin_.limit for bin_ in span.bins]
    axes.stairs(limits, span.edges, color=_ORANGE, linewidth=1.2, label="allowed")
    span.label_axes(axes, "requests")


def _draw_errors(axes: Axes, span: _Span, seconds: float, total: Bin) -> None:
    groups = [
        span.bins[start : start + _BINS_PER_BAR]
        for start in range(0, len(span.bins), _BINS_PER_BAR)
    ]
    edges = [*span.edges[:-1:_BINS_PER_BAR], span.edges[-1]]
    base = [0] * len(groups)
    for index, name in enumerate(sorted(total.errors, key=lambda name: -total.errors[name])):
        counts = [sum(bin_.errors.get(name, 0) for bin_ in group) for group in groups]
        top = [a + b for a, b in zip(base, counts, strict=True)]
        colour = _COLOURS[min(index, len(_COLOURS) - 1)]
        axes.stairs(top, edges, baseline=base, fill=True, color=colour, label=name)
        base = top
    if total.retries:
        retries = [sum(bin_.retries for bin_ in group) for group in groups]
        axes.stairs(retries, edges, color=_GREY, linewidth=1.2, label="retries")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    span.label_axes(axes, f"in {format_duration(_BINS_PER_BAR * seconds)}")


def _draw_delays(axes: Axes, span: _Span, name: str) -> None:
    middles = [(a + b) / 2 for a, b in zip(span.edges, span.edges[1:], strict=False)]
    histograms: list[Histogram] = [getattr(bin_, name) for bin_ in span.bins]
    points = [(x, h) for x, h in zip(middles, histograms, strict=True) if h.count]
    times = [x for x, _ in points]
    low, middle, high = ([h.quantile(q) or 0.0 for _, h in points] for q in (0.05, 0.5, 0.95))
    axes.fill_between(times, low, high, color=_BLUE, alpha=0.15, label="5 % to 95 %")
    axes.plot(times, middle, color=_BLUE, linewidth=1.2, marker=".", ms=3, label="median")
    span.label_axes(axes, "seconds")


def _draw_distribution(axes: Axes, histogram: Histogram) -> None:
    lowers, uppers, counts = zip(*histogram.buckets(), strict=True)
    shares = [100 * count / histogram.count for count in counts]
    widths = [upper - lower for lower, upper in zip(lowers, uppers, strict=True)]
    axes.bar(lowers, shares, widths, align="edge", color=_BLUE, alpha=0.5)
    for share, label, style in ((0.5, "median", "-"), (0.95, "95 %", "--"), (0.99, "99 %", ":")):
        position = histogram.quantile(share) or 0.0
        axes.axvline(
            position,
            color=_ORANGE,
            linewidth=1.2,
            linestyle=style,
            label=f"{label}: {format_duration(position)}",
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: format_duration(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("% of rows")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
