"""The comparison as a drawing, whose colours follow the reader's light or dark theme."""

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
    """All panels, as SVG."""
    figures = {figure["figure"]: figure["values"] for figure in raw["figures"]}
    width = MARGIN * 2 + COLUMNS * PANEL_WIDTH
    height = MARGIN * 2 + -(-len(PANELS) // COLUMNS) * PANEL_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        "<title>The worker beside a bare loop, a Node consumer and a Python handler</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
    ]
    for place, (title, note, first, second, includes) in enumerate(PANELS):
        x = MARGIN + place % COLUMNS * PANEL_WIDTH
        y = MARGIN + place // COLUMNS * PANEL_HEIGHT
        values = figures[first]
        others = figures[second] if second else [0.0] * len(values)
        parts.append(f'<g transform="translate({x},{y})">')
        parts.append(f'<text x="0" y="18"><tspan class="title">{title}</tspan> <tspan class="note">{note}</tspan></text>')
        parts += bars(raw["contestants"], values, others, second is not None, includes)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def bars(names: list[str], values: list[float], others: list[float], two: bool, includes: bool) -> list[str]:
    """A bar for each contestant; the last one is the worker's."""
    ends = [max(pair) if includes else sum(pair) for pair in zip(values, others, strict=True)]
    scale = (PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN) / max(ends)
    drawn = []
    for place, (name, value, other, end) in enumerate(zip(names, values, others, ends, strict=True)):
        own = "own" if place == len(names) - 1 else "other"
        strong = ' class="strong"' if own == "own" else ""
        y = TOP + place * STEP - BAR
        label = f"{short(value)}{', ' if includes else ' + '}{short(other)}" if two else short(value)
        drawn += [
            f'<text{strong} x="0" y="{y + 12}">{escape(name.split(",")[0])}</text>',
            f'<rect class="{own}2" x="{LABEL_WIDTH - 30}" y="{y}" width="{end * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<rect class="{own}" x="{LABEL_WIDTH - 30}" y="{y}" width="{max(value * scale, 1):.1f}" height="{BAR}" rx="2"/>',
            f'<text{strong} x="{LABEL_WIDTH - 24 + end * scale:.1f}" y="{y + 12}">{label}</text>',
        ]
    return drawn


def short(value: float) -> str:
    """Few digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
