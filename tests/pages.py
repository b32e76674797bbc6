"""The pages of the manual, and what is in them: links, headings, and blocks of code with their marks."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^\s*```(\w*)\s*$")
MARK = re.compile(r"^\s*<!-- commands: (.+?) -->\s*$")
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$")


@dataclass(frozen=True)
class Block:
    """A block of code: where it begins, its language, and what the comment before it says of its commands."""

    page: str
    line: int
    language: str
    mark: str | None
    text: str

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


def pages(repository: Path = REPOSITORY) -> dict[str, str]:
    """Every page of the manual by its path."""
    found = [*repository.glob("*.md"), *repository.glob("docs/*.md"), repository / "tests/README.md"]
    return {str(page.relative_to(repository)): page.read_text() for page in sorted(found)}


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of code of a page."""
    lines = text.splitlines()
    mark: str | None = None
    begun: tuple[int, str, str | None] | None = None
    for number, line in enumerate(lines, start=1):
        fence = FENCE.match(line)
        if begun is None:
            if fence:
                begun, mark = (number, fence[1], mark), None
            elif marked := MARK.match(line):
                mark = marked[1]
            elif line.strip():
                mark = None
        elif fence:
            first, language, its_mark = begun
            indent = len(lines[first - 1]) - len(lines[first - 1].lstrip())
            inner = [each[indent:] for each in lines[first : number - 1]]
            yield Block(page, first, language, its_mark, "\n".join(inner) + "\n")
            begun = None


def prose(text: str) -> str:
    """A page without its blocks of code; each line stays where it is."""
    kept, is_code = [], False
    for line in text.splitlines():
        if FENCE.match(line):
            is_code = not is_code
            line = ""
        kept.append("" if is_code else line)
    return "\n".join(kept)


def links(text: str) -> list[str]:
    """The targets of links and pictures."""
    return LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The headings as links name them."""
    found = (HEADING.match(line) for line in prose(text).splitlines())
    return {_anchor(heading[1]) for heading in found if heading}


def _anchor(heading: str) -> str:
    kept = (char for char in heading.lower() if char in " -_" or unicodedata.category(char)[0] in "LN")
    return "".join(kept).replace(" ", "-")
