"""How the worker scales, from docs/benchmarks-scale.json: a table for the page, and a drawing."""

from typing import Any

from chart import MARGIN, PANEL_HEIGHT, PANEL_WIDTH, drawing, panel

TITLE = "How the worker scales: databases of a re-sync, workers, requests in flight"


def chart(raw: dict[str, Any]) -> str:
    """Four panels, as SVG."""
    fleets, workers, in_flight = raw["fleets"], raw["workers"], raw["in_flight"]
    databases = [f"{fleet['databases']:,} databases" for fleet in fleets]
    panels = (
        ("Re-sync, ms for each database", "Report, less is better", databases, [fleet["each_ms"] for fleet in fleets]),
        ("Re-sync, peak memory, MB", "less is better", databases, [fleet["peak_mb"] for fleet in fleets]),
        (
            "In-sync requests/s, more workers",
            f"{workers[0]['in_flight']} in flight at each",
            [f"{load['workers']} worker{'s' if load['workers'] > 1 else ''}" for load in workers],
            [load["rate"] for load in workers],
        ),
        (
            "In-sync requests/s, one worker",
            "more in flight",
            [f"{load['in_flight']} in flight" for load in in_flight],
            [load["rate"] for load in in_flight],
        ),
    )
    drawn = []
    for place, (title, note, names, values) in enumerate(panels):
        x, y = MARGIN + place % 2 * PANEL_WIDTH, MARGIN + place // 2 * PANEL_HEIGHT
        drawn += panel(x, y, title, note, names, values, own=range(len(names)))
    return drawing(TITLE, 2, 2, drawn)


def section(raw: dict[str, Any]) -> str:
    """The tables of the page."""
    rows = [
        f"| {fleet['databases']:,} | {fleet['servers']} | {fleet['each_ms']:.2f} | {fleet['peak_mb']:.1f} |\n" for fleet in raw["fleets"]
    ]
    loads = [
        f"| {load['workers']} | {load['in_flight']} | {load['rate']:,.0f} | {load['cpu_ms']:.2f} | {load['peak_mb']:.1f} |\n"
        for load in raw["workers"] + raw["in_flight"]
    ]
    return f"""
![{TITLE}](benchmarks-scale.svg)

Measured on {raw["date"]}, load average {raw["load_average"].split()[0]}. Medians of three; the raw data is in
[benchmarks-scale.json](benchmarks-scale.json).

| Databases | Servers | Re-sync (Report), ms for each | Peak memory, MB |
|---|---|---|---|
{"".join(rows)}
| Workers | In flight at each | In-sync requests/s | CPU of the workers for each, ms | Peak memory of one, MB |
|---|---|---|---|---|
{"".join(loads)}
"""
