#!/usr/bin/env python3
"""Writes docs/benchmarks.json's comparison into docs/benchmarks.md, as a table, and into docs/benchmarks.svg; and in the same
way what docs/benchmarks-scale.json has.

The program of `make bench` writes the raw data; this adds what the machine is.
"""

import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import scale  # noqa: E402
from chart import chart  # noqa: E402

DOCS = Path(__file__).resolve().parents[3] / "docs"
RAW, PAGE, CHART = DOCS / "benchmarks.json", DOCS / "benchmarks.md", DOCS / "benchmarks.svg"
SCALE_RAW, SCALE_CHART = DOCS / "benchmarks-scale.json", DOCS / "benchmarks-scale.svg"
BEGIN, END = "<!-- comparison -->\n", "<!-- end of the comparison -->\n"
SCALE_BEGIN, SCALE_END = "<!-- scale -->\n", "<!-- end of the scale -->\n"


def main() -> None:
    """Add the machine and the day to the raw data, and write the page and the charts."""
    raw = with_machine(RAW)
    scaled = with_machine(SCALE_RAW) if SCALE_RAW.exists() else None
    PAGE.write_text(page(PAGE.read_text(), raw, scaled))
    CHART.write_text(chart(raw))
    if scaled:
        SCALE_CHART.write_text(scale.chart(scaled))


def with_machine(file: Path) -> dict[str, Any]:
    """The raw data, with what it was measured on where it was just measured."""
    raw: dict[str, Any] = json.loads(file.read_text())
    if "machine" not in raw:
        raw["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
        raw["machine"] = machine()
        file.write_text(lines(raw))
        raw = json.loads(file.read_text())
    return raw


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9),
        "kernel": platform.release(),
    }


def lines(raw: dict[str, Any]) -> str:
    """The data as JSON, a key a line, and a line for each round: neither one line, nor one for each latency."""
    parts = []
    for key, value in raw.items():
        if isinstance(value, list) and value and not isinstance(value[0], str):
            rows = ",\n".join(f"  {json.dumps(rounded(row))}" for row in flat(value))
            parts.append(f'"{key}": [\n{rows}\n]')
        else:
            parts.append(f'"{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def flat(rows: list[Any]) -> list[Any]:
    """The rounds of all contestants, each with its contestant's place."""
    if not isinstance(rows[0], list):
        return rows
    return [{"contestant": place, **each} for place, rounds in enumerate(rows) for each in rounds]


def rounded(value: Any) -> Any:
    """Microseconds are enough."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return value


def page(text: str, raw: dict[str, Any], scaled: dict[str, Any] | None) -> str:
    """The page with what the data says in the places of what it has."""
    text = replaced(text, BEGIN, comparison(raw), END)
    return replaced(text, SCALE_BEGIN, scale.section(scaled), SCALE_END) if scaled else text


def replaced(text: str, begin: str, between: str, end: str) -> str:
    """The text with another part between two marks."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + between + end + after


def comparison(raw: dict[str, Any]) -> str:
    """What was measured, on what, and the table."""
    host, versions = raw["machine"], raw["installed"]
    load = raw["load_average"].split()[0]
    return f"""
Measured on {raw["date"]}: {host["cpu"]}, {host["cores"]} cores, {host["memory_gb"]} GB, Linux {host["kernel"]}; load average
{load} before the run, which takes part of it from other work on the machine. PostgreSQL {raw["postgresql"].split()[0]} with
the files of {raw["available_extensions"]} extensions, {raw["emulator"]}'s SQS, tokio-postgres {versions["tokio-postgres"]},
Node {versions["node"]} with sqs-consumer {versions["sqs-consumer"]} and pg {versions["pg"]}, Python {versions["python"]} with
boto3 {versions["boto3"]} and psycopg2 {versions["psycopg2-binary"]}. {amount(raw)}

| | {" | ".join(raw["contestants"])} | target |
|---|{"---|" * len(raw["contestants"])}---|
{"".join(row(figure) for figure in raw["figures"])}
"""


def amount(raw: dict[str, Any]) -> str:
    """How much was asked of each contestant."""
    rounds = [each for each in raw["rounds"] if each["contestant"] == 0]
    one = rounds[0]
    return (
        f"In each of {len(rounds)} rounds {one['in_sync']['requests']} in-sync Updates, {one['creates']['requests']} Creates "
        f"and {len(one['light_ms'])} Updates at light load, in {raw['databases']} databases."
    )


def row(figure: dict[str, Any]) -> str:
    """A line of the table."""
    values = [number(value) for value in figure["values"]]
    if figure["limit"] is not None:
        values[-1] = f"**{values[-1]}**" + (", missed" if figure["missed"] else "")
    target = "" if figure["limit"] is None else f"{figure['target']}"
    target = target.replace("<=", "≤").replace(">=", "≥").replace(" x ", " × ")
    return f"| {figure['figure']} | {' | '.join(values)} | {target} |\n"


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
