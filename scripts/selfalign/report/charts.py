"""Charts as inline SVG. Lengths are percentages and text stands outside, so that a chart fits any width and stays readable on a phone."""

import math
from collections.abc import Mapping, Sequence

from selfalign.report.markup import Html, count, share, tag

_SHADES = 6  # classes d0 ... d5 of the page's style, for the reasons of a step
_POINTS = 400  # of a curve; a longer one is averaged


def _percent(value: float) -> str:
    return f"{100 * value:.3f}".rstrip("0").rstrip(".") + "%"


def stacked(parts: Sequence[tuple[str, float, str]], whole: float, label: str) -> Html:
    """One bar of `parts` (name, value, class), each as wide as its share of `whole`; hovering names a part."""
    pieces, start = [], 0.0
    for name, value, kind in parts:
        if value:
            title = tag("title", f"{name}: {count(value)} ({share(value, whole)})")
            width = value / whole if whole else 0
            pieces.append(tag("rect", title, x=_percent(start), y=0, width=_percent(width), height="100%", class_=kind))
            start += width
    return tag("svg", *pieces, class_="bar", role="img", aria_label=label)


def kept_and_reasons(kept: float, reasons: Mapping[str, int], whole: float, label: str) -> Html:
    """What a step kept, then its drops by reason, the most frequent first."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    parts = [(name, value, f"d{min(rank, _SHADES - 1)}") for rank, (name, value) in enumerate(ordered)]
    return stacked([("kept", kept, "kept"), *parts], whole, label)


def bars(rows: Sequence[tuple[object, float, object]], label: str, kind: str = "kept", logarithmic: bool = False) -> Html:
    """Horizontal bars: (name, value, what stands at its end), the widest as long as there is room."""
    widest = max((value for _, value, _ in rows), default=0) or 1

    def length(value: float) -> float:
        return math.log1p(value) / math.log1p(widest) if logarithmic else value / widest

    lines = [
        tag("div", tag("span", name, class_="name"), _bar(length(value), kind, f"{name}: {value:,}"), tag("span", end, class_="end"))
        for name, value, end in rows
    ]
    return tag("div", *lines, class_="bars", role="group", aria_label=label)


def _bar(length: float, kind: str, label: str) -> Html:
    return tag("svg", tag("rect", x=0, y=0, width=_percent(length), height="100%", class_=kind), class_="bar", role="img", aria_label=label)


def curve(points: Sequence[tuple[float, float]], label: str, unit: str, breaks: Sequence[float] = ()) -> Html:
    """A line through (x, y) with x ascending, a smoothed one over it, and a mark at each of `breaks`."""
    points = _averaged(points)
    smooth = _smoothed(points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    first, last = points[0][0], points[-1][0]

    def path(line: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{100 * (x - first) / (last - first):.2f},{100 * (high - y) / (high - low):.2f}" for x, y in line)

    marks = [tag("line", x1=x, x2=x, y1=0, y2=100, class_="mark") for x in (f"{100 * (at - first) / (last - first):.2f}" for at in breaks)]
    lines = [tag("polyline", points=path(points), class_="raw"), tag("polyline", points=path(smooth), class_="smooth")]
    grid = [tag("line", x1=0, x2=100, y1=y, y2=y, class_="grid") for y in (0, 25, 50, 75, 100)]
    svg = tag("svg", *grid, *marks, *lines, viewBox="0 0 100 100", preserveAspectRatio="none", role="img", aria_label=label)
    ticks = [tag("span", f"{high - part * (high - low):.3g}") for part in (0, 0.25, 0.5, 0.75, 1)]
    below = [tag("span", f"{unit} {count(first)}"), tag("span", count((first + last) / 2)), tag("span", count(last))]
    return tag("div", tag("div", *ticks, class_="ticks"), svg, tag("div", *below, class_="below"), class_="curve")


def _averaged(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most _POINTS points; each is the mean of a stretch."""
    size = math.ceil(len(points) / _POINTS)
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in stretches]


def _smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """An exponential mean over about a twentieth of the points, begun without a bias towards the first."""
    weight = 1 - 1 / max(2.0, len(points) / 20)
    mean = norm = 0.0
    line = []
    for x, y in points:
        mean, norm = weight * mean + (1 - weight) * y, weight * norm + (1 - weight)
        line.append((x, mean / norm))
    return line


def dots(marks: Sequence[tuple[str, float, Sequence[float] | None, str]], label: str) -> Html:
    """Marks (name, score from 0 to 1, its interval or None, class) on one scale from 0 to 100%, joined by a line."""
    scores = [score for _, score, _, _ in marks]
    grid = [tag("line", x1=_percent(at), x2=_percent(at), y1=0, y2="100%", class_="grid") for at in (0, 0.25, 0.5, 0.75, 1)]
    pieces = [tag("line", x1=_percent(min(scores)), x2=_percent(max(scores)), y1="50%", y2="50%", class_="join")] if len(scores) > 1 else []
    for name, score, interval, kind in marks:
        title = f"{name}: {100 * score:.1f}%"
        if interval:
            low, high = interval
            title += f" (95% interval {100 * low:.1f} to {100 * high:.1f})"
            pieces.append(tag("line", x1=_percent(low), x2=_percent(high), y1="50%", y2="50%", class_=f"interval {kind}"))
        pieces.append(tag("circle", tag("title", title), cx=_percent(score), cy="50%", r=6, class_=kind))
    return tag("svg", *grid, *pieces, class_="dots", role="img", aria_label=label)
