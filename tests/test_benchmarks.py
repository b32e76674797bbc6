"""docs/benchmarks.md and its charts show what docs/benchmarks*.json have."""

import json
import sys
import unittest
from xml.etree import ElementTree

from pages import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests/bench/peers"))

import publish  # noqa: E402
import scale  # noqa: E402


class Benchmarks(unittest.TestCase):
    def test_the_page_and_the_charts_are_those_of_the_raw_data(self) -> None:
        raw = json.loads(publish.RAW.read_text())
        drawings = [(publish.chart(raw), publish.CHART)]
        # Measured for itself, when there is a machine for it.
        scaled = json.loads(publish.SCALE_RAW.read_text()) if publish.SCALE_RAW.exists() else None
        if scaled:
            drawings.append((scale.chart(scaled), publish.SCALE_CHART))
        page = publish.PAGE.read_text()
        self.assertEqual(publish.page(page, raw, scaled), page)
        for drawn, file in drawings:
            self.assertEqual(drawn, file.read_text())
            ElementTree.fromstring(drawn)

    def test_the_page_has_the_kept_counts_of_instructions(self) -> None:
        kept = json.loads((REPOSITORY / "tests/instructions.json").read_text())
        for part, count in kept["x86_64"].items():
            with self.subTest(part=part):
                rows = [line for line in publish.PAGE.read_text().splitlines() if line.startswith(f"| {part} |")]
                self.assertTrue([row for row in rows if row.endswith(f"| {count:,} |")], rows)

    def test_the_raw_data_has_all_rounds_of_all_contestants(self) -> None:
        raw = json.loads(publish.RAW.read_text())
        rounds = [each["contestant"] for each in raw["rounds"]]
        for place, contestant in enumerate(raw["contestants"]):
            with self.subTest(contestant=contestant):
                self.assertEqual(rounds.count(place), 3)


if __name__ == "__main__":
    unittest.main()
