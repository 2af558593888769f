"""Fenced blocks, commands and links of a Markdown page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "commands", "heading_anchors", "links", "read_blocks"]

_FENCE = re.compile(r"```(\w*) ?(.*)")
_FILE_COMMENT = re.compile(r"# (\S+\.(?:py|yaml))\n")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; ``line`` is that of its first line, ``marks`` the words behind its language."""

    page: Path
    line: int
    language: str
    marks: frozenset[str]
    text: str

    @property
    def file(self) -> str | None:
        """The project file that the block is (part of): named by a comment in its first line."""
        match = _FILE_COMMENT.match(self.text)
        return match[1] if match else None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def read_blocks(page: Path) -> tuple[Block, ...]:
    """Read the page's fenced blocks in their order."""
    found: list[Block] = []
    opened: tuple[int, re.Match[str]] | None = None
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if opened is None and (match := _FENCE.fullmatch(line)):
            opened = (number + 1, match)
        elif opened is not None and line == "```":
            start, fence = opened
            text = "".join(f"{inner}\n" for inner in lines[start:number])
            marks = frozenset(fence[2].split())
            found.append(Block(page=page, line=start + 1, language=fence[1], marks=marks, text=text))
            opened = None
    if opened is not None:
        raise ValueError(f"{page}:{opened[0]}: the fence is not closed")
    return tuple(found)


def commands(block: Block) -> Iterator[list[str]]:
    """Split the block's ``$ …`` lines into arguments; a closing backslash continues a line."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("$ "):
            yield shlex.split(line[2:], comments=True)


def links(page: Path) -> Iterator[str]:
    """Give the targets of the page's links, those in fenced blocks left out."""
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield from _LINK.findall(line)


def heading_anchors(page: Path) -> set[str]:
    """Give the anchors of the page's headings, as repository browsers make them."""
    headings = (line.lstrip("#").strip() for line in page.read_text(encoding="utf-8").splitlines() if line[:1] == "#")
    return {_NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-") for heading in headings}
