"""Runs a page's snippets in the current folder: ``python -m tests.support.page_runner README.md``.

Blocks of a page share one namespace. ``python`` blocks are executed; ``pycon`` blocks too, and their output is compared
(``...`` stands for anything). Of ``console`` blocks the commands that are cheap and change nothing are run. Blocks that
are project files, or marked ``spark``, are left out.
"""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

from featurestore.cli.main import main as featurestore
from tests.support.markdown import Block, commands, read_blocks

__all__ = ["run_python"]

CHEAP = {"plan", "status", "list", "dag", "get-online-features"}


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    """Run a ``python`` or ``pycon`` block; AssertionError has the output that differs."""
    if block.language == "python":
        code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
        exec(code, namespace)
        return
    parser = doctest.DocTestParser()
    test = parser.get_doctest(block.text, namespace, str(block), str(block.page), block.line - 1)
    report: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(test, out=report.append, clear_globs=False)
    namespace.update(test.globs)
    assert not report, "".join(report)


def run_console(block: Block) -> None:
    """Run the cheap ``featurestore`` commands of a block; AssertionError names the one that failed."""
    for argv in commands(block):
        if argv[0] == "featurestore" and argv[1] in CHEAP:
            ended = _exit_code(argv[1:])
            assert ended == 0, f"{block}: `{' '.join(argv)}` ended with {ended}"


def _exit_code(argv: list[str]) -> object:
    try:
        featurestore(argv)
    except SystemExit as ended:
        return ended.code
    return 0


def main(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "snippets"}
    for block in read_blocks(page):
        if block.file is not None or "spark" in block.marks:
            continue
        if block.language in {"python", "pycon"}:
            run_python(block, namespace)
        elif block.language == "console":
            run_console(block)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
