"""docs/benchmarks.md and docs/benchmarks.svg show what docs/benchmarks.json has."""

import json
import sys
import unittest
from xml.etree import ElementTree

from pages import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests/bench/peers"))

import publish  # noqa: E402


class Benchmarks(unittest.TestCase):
    def test_the_page_and_the_chart_are_those_of_the_raw_data(self) -> None:
        raw = json.loads(publish.RAW.read_text())
        page = publish.PAGE.read_text()
        self.assertEqual(publish.page(page, raw), page)
        self.assertEqual(publish.chart(raw), publish.CHART.read_text())
        ElementTree.fromstring(publish.CHART.read_text())

    def test_the_raw_data_has_all_rounds_of_all_contestants(self) -> None:
        raw = json.loads(publish.RAW.read_text())
        rounds = [each["contestant"] for each in raw["rounds"]]
        for place, contestant in enumerate(raw["contestants"]):
            with self.subTest(contestant=contestant):
                self.assertEqual(rounds.count(place), 3)


if __name__ == "__main__":
    unittest.main()
