"""Bars in panels: a drawing whose colours follow the reader's light or dark theme; and that of the comparison."""

from typing import Any
from xml.sax.saxutils import escape

COLUMNS = 2
PANEL_WIDTH, PANEL_HEIGHT = 420, 150
LABEL_WIDTH, VALUE_WIDTH, BAR, STEP, TOP = 152, 92, 16, 24, 46
MARGIN = 16

STYLE = """
svg { --back: #ffffff; --ink: #1f2328; --faint: #59636e; --other: #8c959f; --other2: #d1d9e0; --own: #0969da; --own2: #9cc8f8; }
@media (prefers-color-scheme: dark) {
  svg { --back: #0d1117; --ink: #e6edf3; --faint: #9198a1; --other: #7d8590; --other2: #3d444d; --own: #4493f8; --own2: #1f4f8f; }
}
text { font: 12px -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; fill: var(--ink); }
.title { font-weight: 600; font-size: 13px; }
.note { fill: var(--faint); font-size: 11px; }
.back { fill: var(--back); }
.other { fill: var(--other); } .other2 { fill: var(--other2); }
.own { fill: var(--own); } .own2 { fill: var(--own2); }
.strong { font-weight: 600; }
"""

# Title, what is better, the figure, a second one, and whether that is more than the first (or comes on top of it).
PANELS = (
    ("In-sync requests per second", "more is better", "in-sync requests/s", None, False),
    ("Creates per second", "more is better", "Creates/s", None, False),
    (
        "CPU for an in-sync request, ms",
        "process + PostgreSQL",
        "worker CPU per in-sync request, ms",
        "PostgreSQL CPU per in-sync request, ms",
        False,
    ),
    (
        "CPU for a Create, ms",
        "process + PostgreSQL",
        "worker CPU per Create, ms",
        "PostgreSQL CPU per Create, ms",
        False,
    ),
    (
        "Latency at light load, ms",
        "p50, p99, less is better",
        "latency at light load, p50, ms",
        "latency at light load, p99, ms",
        True,
    ),
    (
        "First request to a database, ms",
        "p50, p99, less is better",
        "first request to a database, p50, ms",
        "first request to a database, p99, ms",
        True,
    ),
    ("Resident memory, MB", "at rest, peak, less is better", "resident at rest, MB", "resident at the peak, MB", True),
)


def chart(raw: dict[str, Any]) -> str:
    """All panels of the comparison, as SVG."""
    figures = {figure["figure"]: figure["values"] for figure in raw["figures"]}
    names = [name.split(",")[0] for name in raw["contestants"]]
    drawn = []
    for place, (title, note, first, second, includes) in enumerate(PANELS):
        x, y = MARGIN + place % COLUMNS * PANEL_WIDTH, MARGIN + place // COLUMNS * PANEL_HEIGHT
        others = figures[second] if second else None
        # The last one is the worker.
        own = range(len(names) - 1, len(names))
        drawn += panel(x, y, title, note, names, figures[first], others, includes=includes, own=own)
    title = "The worker beside a bare loop, a Node consumer and a Python handler"
    return drawing(title, COLUMNS, -(-len(PANELS) // COLUMNS), drawn)


def drawing(title: str, columns: int, rows: int, drawn: list[str]) -> str:
    """The whole, around its panels."""
    width, height = MARGIN * 2 + columns * PANEL_WIDTH, MARGIN * 2 + rows * PANEL_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
    ]
    return "\n".join([*parts, *drawn, "</svg>"]) + "\n"


def panel(
    x: int,
    y: int,
    title: str,
    note: str,
    names: list[str],
    values: list[float],
    others: list[float] | None = None,
    *,
    includes: bool = False,
    own: range,
) -> list[str]:
    """A bar for each name, in the worker's colour for those at the places `own`; `others` come on top of the values, or
    are the more of both where they include them."""
    seconds = others or [0.0] * len(values)
    ends = [max(pair) if includes else sum(pair) for pair in zip(values, seconds, strict=True)]
    scale = (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN) / max(ends)
    drawn = [
        f'<g transform="translate({x},{y})">',
        f'<text x="0" y="18"><tspan class="title">{title}</tspan> <tspan class="note">{note}</tspan></text>',
    ]
    for place, (name, value, second, end) in enumerate(zip(names, values, seconds, ends, strict=True)):
        colour = "own" if place in own else "other"
        strong = ' class="strong"' if place in own and len(own) < len(names) else ""
        top = TOP + place * STEP - BAR
        label = f"{short(value)}{', ' if includes else ' + '}{short(second)}" if others else short(value)
        drawn += [
            f'<text{strong} x="0" y="{top + 12}">{escape(name)}</text>',
            f'<rect class="{colour}2" x="{LABEL_WIDTH - 30}" y="{top}" width="{end * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<rect class="{colour}" x="{LABEL_WIDTH - 30}" y="{top}" width="{max(value * scale, 1):.1f}" height="{BAR}" rx="2"/>',
            f'<text{strong} x="{LABEL_WIDTH - 24 + end * scale:.1f}" y="{top + 12}">{label}</text>',
        ]
    return [*drawn, "</g>"]


def short(value: float) -> str:
    """Few digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
