"""Charts of a history: events by day, tokens by model, calls by tool, and the times to reply.

Each function calls one verb of the service, passes filters on to it, draws the result with matplotlib (the extra
``notebook``) and returns the Axes. Names in Chinese, Japanese or Korean need an installed font that has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

from session_sqlite import extras
from session_sqlite.transcript.text import fitted, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from session_sqlite.service import SessionService

DAYS_DRAWN_SINGLY: Final = 120  # over a longer time, a bar is a week
NAMES_SHOWN: Final = 12  # models or tools; the others are only counted
LONGEST_NAME: Final = 32  # columns
LEGEND_POINTS: Final = 26  # distance below the axes
TIMES_DRAWN: Final = 40  # bars of a histogram

_BLUE, _TEAL, _GOLD, _RED, _GREY, _VIOLET = "#4269d0", "#3ca08d", "#e3a53a", "#d6503f", "#9aa3ad", "#8c63c0"
_COLOUR_OF_AUTHOR: Final = {"user": _BLUE, "assistant": _TEAL, "tool": _GOLD, "system": _VIOLET, "agents": _GREY}
_INK: Final = "#33383f"
_FONTS: Final = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip


def activity_by_day(service: SessionService, *, ax: Axes | None = None, **filters: Any) -> Axes:
    """Draws the number of events of each day, by author; over a long time, of each week.

    Args:
        service: The service that has the history.
        ax: The Axes to draw on; a new figure if not given.
        filters: Those of `SessionService.activity`: ``session``, ``since``, ``until``, ``app_name``, ``user_id``.
    """
    counted: dict[str, dict[date, int]] = {}
    for row in service.activity(("day", "author"), **filters):
        author = row["author"] if row["author"] in _COLOUR_OF_AUTHOR else "agents"
        if (day := _day(row["day"])) is not None:
            of_author = counted.setdefault(author, {})
            of_author[day] = of_author.get(day, 0) + row["events"]
    days = sorted({day for of_author in counted.values() for day in of_author})
    width = 1 if not days or (days[-1] - days[0]).days < DAYS_DRAWN_SINGLY else 7
    with _axes(ax) as ax:
        if not days:
            return _empty(ax, "Events")
        begin = days[0] - timedelta(days=days[0].weekday() if width == 7 else 0)
        bars = (days[-1] - begin).days // width + 1
        dates = extras.load("matplotlib.dates", extra="notebook")
        first = dates.date2num(begin)
        starts = [first + width * bar for bar in range(bars)]
        below = [0] * bars
        for author in (name for name in _COLOUR_OF_AUTHOR if name in counted):
            heights = [0] * bars
            for day, events in counted[author].items():
                heights[(day - begin).days // width] += events
            ax.bar(starts, heights, width * 0.86, bottom=below, align="edge", label=author,
                   color=_COLOUR_OF_AUTHOR[author])  # fmt: skip
            below = [sum(pair) for pair in zip(below, heights, strict=True)]
        locator = dates.AutoDateLocator(minticks=3, maxticks=9)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        ax.set_xlim(first, starts[-1] + width)
        _whole_numbers(ax)
        _legend(ax)
        return _titled(ax, f"Events {'a day' if width == 1 else 'a week'}", f"{sum(below):,} events (days are UTC)")


def tokens_by_model(service: SessionService, *, ax: Axes | None = None, **filters: Any) -> Axes:
    """Draws the tokens that each model used: input, input from a cache, and output.

    Args:
        service: The service that has the history.
        ax: The Axes to draw on; a new figure if not given.
        filters: Those of `SessionService.usage`: ``session``, ``since``, ``until``, ``app_name``, ``user_id``.
    """
    rows = service.usage("model", **filters)
    parts: dict[str, Sequence[int]] = {
        row["model"] or "(no name)": (
            max(row["input_tokens"] - row["cache_read_tokens"], 0), row["cache_read_tokens"], row["output_tokens"],
        )
        for row in rows
    }  # fmt: skip
    with _axes(ax) as ax:
        total = sum(map(sum, parts.values()))
        labels = {name: _short(sum(part)) for name, part in parts.items()}
        _stacked(ax, parts, {"input": _BLUE, "input from cache": "#a9bdf0", "output": _TEAL}, labels)
        return _titled(ax, "Tokens by model", f"{total:,} tokens") if parts else _empty(ax, "Tokens by model")


def tool_use(service: SessionService, *, ax: Axes | None = None, **filters: Any) -> Axes:
    """Draws how often each tool was called, and how often it failed.

    Args:
        service: The service that has the history.
        ax: The Axes to draw on; a new figure if not given.
        filters: Those of `SessionService.tool_calls`: ``session``, ``since``, ``until``, ``app_name``, ``user_id``.
    """
    parts: dict[str, list[int]] = {}
    for call in service.tool_calls(**filters):
        counts = parts.setdefault(call["name"] or "(no name)", [0, 0, 0])
        counts[("ok", "error", "pending").index(call["status"])] += 1
    with _axes(ax) as ax:
        labels = {
            name: f"{sum(counts):,}" + (f", {100 * counts[1] / sum(counts):.0f} % failed" if counts[1] else "")
            for name, counts in parts.items()
        }
        _stacked(ax, parts, {"ok": _TEAL, "failed": _RED, "no result": _GREY}, labels)
        calls, failed = sum(map(sum, parts.values())), sum(counts[1] for counts in parts.values())
        return _titled(ax, "Tool calls", f"{calls:,} calls, {failed:,} failed") if parts else _empty(ax, "Tool calls")


def reply_latency(service: SessionService, *, ax: Axes | None = None, **filters: Any) -> Axes:
    """Draws how long users waited for replies, on a logarithmic scale, with the median and the 95th percentile.

    Args:
        service: The service that has the history.
        ax: The Axes to draw on; a new figure if not given.
        filters: Those of `SessionService.reply_times`: ``session``, ``since``, ``until``, ``app_name``, ``user_id``.
    """
    seconds = sorted(max(row["seconds"], 0.001) for row in service.reply_times(**filters))
    with _axes(ax) as ax:
        if not seconds:
            return _empty(ax, "Time to reply")
        low, high = seconds[0] / 1.1, seconds[-1] * 1.1
        edges = [low * (high / low) ** (step / TIMES_DRAWN) for step in range(TIMES_DRAWN + 1)]
        ax.hist(seconds, edges, color=_TEAL, rwidth=0.9)
        ax.set_xscale("log")
        ticker = extras.load("matplotlib.ticker", extra="notebook")
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _duration(value)))
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        middle = median(seconds)
        most = quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
        for value, name, colour in ((middle, "median", _INK), (most, "95 %", _RED)):
            ax.axvline(value, color=colour, linewidth=1.4, linestyle=(0, (4, 2)), label=f"{name}: {_duration(value)}")
        _whole_numbers(ax)
        _legend(ax)
        return _titled(ax, "Time to reply", f"{len(seconds):,} replies")


# ---------------------------------------------------------------- style


@contextmanager
def _axes(ax: Axes | None) -> Iterator[Axes]:
    """Yields the Axes to draw on: those given, or those of a new figure."""
    pyplot = extras.load("matplotlib.pyplot", extra="notebook")
    installed = {font.name for font in extras.load("matplotlib.font_manager", extra="notebook").fontManager.ttflist}
    fonts = [name for name in _FONTS if name in installed]
    if ax is None:
        # The first figure also chooses matplotlib's backend. Inside the context below, that choice would be undone.
        figure, ax = pyplot.subplots(figsize=(8, 3.6), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    with pyplot.rc_context({"font.family": fonts, "text.parse_math": False}):
        ax.set_axisbelow(True)
        ax.set_facecolor("white")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color("#c3c9d0")
        # Labels of ticks are made when the figure is drawn, after this context has ended: they need the fonts, too.
        ax.tick_params(length=0, colors=_INK, labelfontfamily=fonts)
        yield ax


def _titled(ax: Axes, title: str, about: str) -> Axes:
    ax.set_title(title, loc="left", fontweight="bold", color=_INK, pad=12)
    ax.set_title(about, loc="right", fontsize=9, color="#5d6670", pad=12)
    return ax


def _whole_numbers(ax: Axes) -> None:
    ax.yaxis.set_major_locator(extras.load("matplotlib.ticker", extra="notebook").MaxNLocator("auto", integer=True))
    ax.grid(axis="y", color="#e3e6ea")


def _legend(ax: Axes) -> None:
    """Puts the legend below the axes, clear of the labels of the ticks."""
    below = extras.load("matplotlib.transforms", extra="notebook").ScaledTranslation
    place = ax.transAxes + below(0, -LEGEND_POINTS / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        frameon=False, fontsize=9, ncols=5, loc="upper left", borderaxespad=0, borderpad=0, labelcolor=_INK,
        bbox_to_anchor=(0, 0), bbox_transform=place,
    )  # fmt: skip


def _empty(ax: Axes, title: str) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, "nothing yet", transform=ax.transAxes, ha="center", va="center", color="#5d6670")
    return _titled(ax, title, "")


def _stacked(
    ax: Axes, parts: Mapping[str, Sequence[int]], colours: Mapping[str, str], labels: Mapping[str, str]
) -> None:
    """Draws horizontal bars, the longest on top, each with its label at the end."""
    names = sorted(parts, key=lambda name: (-sum(parts[name]), name))[:NAMES_SHOWN]
    if not names:
        return
    places = range(len(names))
    begin = [0] * len(names)
    for index, (kind, colour) in enumerate(colours.items()):
        lengths = [parts[name][index] for name in names]
        if any(lengths):
            ax.barh(places, lengths, 0.66, left=begin, color=colour, label=kind)
        begin = [sum(pair) for pair in zip(begin, lengths, strict=True)]
    for place, name in zip(places, names, strict=True):
        ax.annotate(labels[name], (begin[place], place), (6, 0), textcoords="offset points", va="center", fontsize=9,
                    color=_INK)  # fmt: skip
    ax.set_yticks(places, [fitted(visible(name), LONGEST_NAME) for name in names])
    ax.invert_yaxis()
    ax.set_xlim(0, max(begin) * 1.22 or 1)
    ax.xaxis.set_major_formatter(lambda value, _: _short(value))
    ax.grid(axis="x", color="#e3e6ea")
    if len(parts) > len(names):
        ax.set_xlabel(f"and {len(parts) - len(names):,} more", color="#5d6670", fontsize=9)
    _legend(ax)


def _day(text: object) -> date | None:
    try:
        return datetime.strptime(f"{text} +0000", "%Y-%m-%d %z").date()
    except ValueError:  # a damaged row
        return None


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds * 1000:.3g} ms"
