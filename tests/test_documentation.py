"""What the manual names exists: pages, headings, files, functions, settings, commands."""

import re
import unittest
from pathlib import Path

import pages
from pages import REPOSITORY

PAGES = pages.pages()

# Where a command of make is run; or, as it takes long or needs a person, what runs the same in parts or in a smaller form.
MAKE = {
    "check": ".ci/run",
    "check-regions": ".github/workflows/check.yaml",
    "test": ".ci/run",
    "test-on": "localstack/postgres_source.py",
    "image": ".github/workflows/check.yaml",
    "image-contents": ".github/workflows/check.yaml",
    "demo": "tests/documentation.py",
    "demo-stop": "tests/documentation.py",
    "demo-upgrade": "localstack/demo_upgrade.py",
    "instructions": "tests/instructions.py",
    "pure": "tests/bench/pure/time.rs",
    "it": "tests/it/main.rs",
    "it-stop": "localstack/services.py",
    "reference": "worker/src/reference.rs",
    "rds-bundle": "worker/image/test_rds_bundle.py",
    "histories": "tests/it/histories/mod.rs",
    "chaos": "tests/it/faults/chaos.rs",
    "fleet": "tests/it/resync/fleet/mod.rs",
    "bench": "tests/bench/main.rs",
}
# A path of the repository in backquotes; placeholders such as <name> make it none.
PATH = re.compile(r"`((?:worker|tests|templates|localstack|docs|\.github|\.ci)/[^`<>*…\s]*|[A-Z][\w-]*\.(?:md|toml))`")
# `file`: `name`, `name`; the names are what the file defines.
DEFINED = re.compile(r"`([\w./-]+\.(?:rs|py))`:((?:(?:,| and)? `[\w:!]+`)+)")
VARIABLE = re.compile(r"\bWORKER_[A-Z_]*[A-Z]\b")
ALARM = re.compile(r"`(\w+Alarm)`")
# The command that only an AWS account can run: its template, and the parameters that it sets.
DEPLOY = re.compile(r"--template-file (templates/\S+).*--parameter-overrides (.*)")
# Words that no manual of AWS or PostgreSQL uses so.
DIALECT = re.compile(r"\b(told|whoever|nobody|so many|can be relied on)\b", re.IGNORECASE)
# "`module`: a_test…, another…" in the last column of docs/security.md; or a module alone.
TESTS = re.compile(r"\| `([\w./]+)`(?:: ([a-z_0-9…, ]+))? \|$", re.MULTILINE)


class Pages(unittest.TestCase):
    def test_every_relative_link_leads_to_a_file_and_a_heading(self) -> None:
        for page, text in PAGES.items():
            for link in pages.links(text):
                if "://" in link or link.startswith("mailto:"):
                    continue
                path, _, anchor = link.partition("#")
                target = (REPOSITORY / page).parent / path if path else REPOSITORY / page
                with self.subTest(page=page, link=link):
                    self.assertTrue(target.exists(), "no such file")
                    if anchor:
                        self.assertTrue(anchor in pages.anchors(target.read_text()), "no such heading")

    def test_every_page_of_docs_is_in_the_index(self) -> None:
        index = set(pages.links(PAGES["README.md"]))
        for page in PAGES:
            with self.subTest(page=page):
                self.assertTrue(page == "README.md" or page in index)

    def test_every_path_exists(self) -> None:
        for page, text in PAGES.items():
            for path in PATH.findall(pages.prose(text)):
                with self.subTest(page=page, path=path):
                    self.assertTrue((REPOSITORY / path).exists())

    def test_every_function_is_in_its_file(self) -> None:
        pairs = 0
        for page, text in PAGES.items():
            for path, names in DEFINED.findall(pages.prose(text)):
                for name in re.findall(r"`([\w:!]+)`", names):
                    pairs += 1
                    with self.subTest(page=page, path=path, name=name):
                        file = REPOSITORY / path
                        self.assertTrue(file.exists(), "no such file")
                        self.assertTrue(_defines(file, name), "not defined there")
        self.assertGreater(pairs, 20)

    def test_every_setting_is_one_of_the_code(self) -> None:
        code = "".join(file.read_text() for file in REPOSITORY.glob("worker/src/**/*.rs"))
        known = set(VARIABLE.findall(code)) | {"WORKER_BINARY", "WORKER_FAILPOINTS_BINARY"}
        for page, text in PAGES.items():
            for name in set(VARIABLE.findall(text)):
                with self.subTest(page=page, setting=name):
                    self.assertTrue(name in known, "the code does not read it")

    def test_every_alarm_is_in_the_template(self) -> None:
        template = (REPOSITORY / "templates/worker.yaml").read_text()
        for page, text in PAGES.items():
            for alarm in ALARM.findall(text):
                with self.subTest(page=page, alarm=alarm):
                    self.assertTrue(f"\n  {alarm}:\n" in template, "no such alarm")

    def test_the_language_is_plain(self) -> None:
        for page, text in PAGES.items():
            for number, line in enumerate(pages.prose(text).splitlines(), start=1):
                # The help texts of metrics are those of the code.
                if line.startswith("| `extension_worker_"):
                    continue
                with self.subTest(page=page, line=number):
                    self.assertIsNone(DIALECT.search(line))

    def test_every_test_of_the_threat_model_exists(self) -> None:
        found = TESTS.findall(PAGES["docs/security.md"])
        self.assertGreater(len(found), 30)
        for module, names in found:
            file = REPOSITORY / (module if "/" in module else f"tests/it/security/{module}.rs")
            for name in names.replace("…", "").split(", "):
                with self.subTest(module=module, name=name):
                    self.assertTrue(file.exists(), "no such file")
                    self.assertTrue(f"fn {name}" in file.read_text(), "no such test")

    def test_the_first_page_and_the_reference_declare_the_same_resource(self) -> None:
        first = [
            next(block.text for block in pages.blocks(page, PAGES[page]) if block.language == "yaml")
            for page in ("README.md", "docs/properties.md")
        ]
        self.assertEqual(first[0], first[1])
        self.assertEqual(len(first[0].splitlines()), 6)

    def test_every_label_value_is_documented(self) -> None:
        labels = (REPOSITORY / "worker/src/metrics/labels.rs").read_text()
        values = re.findall(r'^    \w+ = "([a-z_]+)",$', labels, re.MULTILINE)
        self.assertGreater(len(values), 15)
        for value in values:
            with self.subTest(value=value):
                self.assertTrue(f"`{value}`" in PAGES["docs/metrics.md"], "not in docs/metrics.md")


class Commands(unittest.TestCase):
    """Each block of commands says what runs it: `make` (targets alone), `run` (tests/documentation.py), or an account."""

    def test_every_block_of_commands_is_run_or_says_why_it_cannot_be(self) -> None:
        for page, text in PAGES.items():
            for block in pages.blocks(page, text):
                if block.language not in ("sh", "sql", "bash", "shell", "console"):
                    continue
                with self.subTest(block=block.place):
                    self.assertIn(block.language, ("sh", "sql"))
                    self.assertIsNotNone(block.mark, "no <!-- commands: … --> before it")
                    self.assertRegex(block.mark or "", r"^(make|run|AWS account: \w.{15,})$")

    def test_a_command_for_an_account_sets_parameters_of_its_template(self) -> None:
        deployments = 0
        for page, text in PAGES.items():
            for block in pages.blocks(page, text):
                for path, overrides in DEPLOY.findall(block.text.replace("\\\n", " ")):
                    template = (REPOSITORY / path).read_text()
                    for parameter in re.findall(r"(\w+)=", overrides):
                        deployments += 1
                        with self.subTest(block=block.place, parameter=parameter):
                            self.assertTrue(f"\n  {parameter}:\n" in template, "no such parameter")
        self.assertGreater(deployments, 3)

    def test_every_target_of_make_exists_and_is_run_somewhere(self) -> None:
        makefile = (REPOSITORY / "Makefile").read_text()
        for page, text in PAGES.items():
            for block in pages.blocks(page, text):
                if block.language != "sh":
                    continue
                for line in block.text.splitlines():
                    words = line.split("#")[0].split()
                    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
                    if not words or (words[0] != "make" and block.mark != "make"):
                        continue
                    with self.subTest(block=block.place, line=line):
                        self.assertEqual((words[0], len(words)), ("make", 2))
                        self.assertTrue(f"\n{words[1]}:" in makefile, "no such target")
                        self.assertIn(words[1], MAKE)
                        self.assertTrue((REPOSITORY / MAKE[words[1]]).exists())

    def test_what_runs_a_target_by_its_name_does_so(self) -> None:
        for target, place in MAKE.items():
            if place.startswith("."):
                with self.subTest(target=target):
                    self.assertRegex((REPOSITORY / place).read_text(), rf"make {target}(?![\w-])")

    def test_every_target_of_make_has_a_comment_and_is_known_here(self) -> None:
        makefile = (REPOSITORY / "Makefile").read_text()
        targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
        self.assertEqual(set((targets or [""])[1].split()), set(MAKE))
        for target in MAKE:
            with self.subTest(target=target):
                self.assertTrue(re.search(rf"(?m)^## .*\n{target}:", makefile), "no comment above it")

    def test_make_in_prose_names_a_target(self) -> None:
        for page, text in PAGES.items():
            for target in re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z-]+)[^`]*`", pages.prose(text)):
                with self.subTest(page=page, target=target):
                    self.assertIn(target, MAKE)


def _defines(file: Path, name: str) -> bool:
    """Whether the file defines the last part of the name, `Type::method` and `macro!` included."""
    last = re.escape(name.rstrip("!").split("::")[-1])
    if file.suffix == ".py":
        pattern = rf"^\s*(?:def|class) {last}\b|^{last}\b.* = "
    else:
        pattern = rf"\b(?:fn|struct|enum|const|static|type|trait|mod|macro_rules!) {last}\b"
    return re.search(pattern, file.read_text(), re.MULTILINE) is not None


if __name__ == "__main__":
    unittest.main()
