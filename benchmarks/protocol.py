"""A contestant in a process of its own: one JSON line asks, one JSON line answers.

Standard library only: Feast's environment imports it too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Contestant", "ContestantFailed", "serve"]

ROOT = Path(__file__).resolve().parents[1]


class ContestantFailed(RuntimeError):
    """A call raised in the contestant's process, or the process ended; the message has its traceback."""


class Contestant:
    """A running contestant: ``contestant.call("verb", argument=…)``. Use it in ``with``."""

    def __init__(self, python: Path, module: str, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = module
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", module],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def call(self, verb: str, **arguments: Any) -> Any:
        """Call a verb and wait for its answer; ContestantFailed has what went wrong there."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"verb": verb, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContestantFailed(
                f"{self.name} ended during {verb!r} with exit code {self._process.wait()}; its log is {self._log}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise ContestantFailed(f"{self.name}: {verb} failed:\n{answer['error']}")
        return answer["value"]

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def serve(verbs: Mapping[str, Callable[..., Any]]) -> None:
    """Answer calls on stdin until it is closed. What the verbs print goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            call = json.loads(line)
            try:
                answer = {"value": verbs[call["verb"]](**call["arguments"])}
            except Exception:  # noqa: BLE001 - whatever it is, the caller is told and decides
                answer = {"error": traceback.format_exc()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
