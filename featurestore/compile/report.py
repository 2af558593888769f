"""Collect problems and warnings, so that all are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.errors import Problem

__all__ = ["Report", "choices", "unknown"]


@dataclass(slots=True)
class Report:
    """Problems by the definition they are found in; ``locations`` has each definition's place by its id."""

    locations: Mapping[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    unsound: set[int] = field(default_factory=set)
    """Ids of definitions with an option of the wrong type: nothing else of them is checked."""

    def add(self, definition: Any, message: str) -> None:
        self.problems.append(self._problem(definition, message))

    def warn(self, definition: Any, message: str) -> None:
        self.warnings.append(self._problem(definition, message))

    def where(self, definition: Any) -> str:
        return self.locations.get(id(definition), "unknown place")

    def _problem(self, definition: Any, message: str) -> Problem:
        label = f"{type(definition).__name__} {definition.name!r}"
        return Problem(location=self.where(definition), object=label, message=message)


def unknown(what: str, found: object, valid: Iterable[str]) -> str:
    """Say that ``found`` is none of ``valid``, and which of them it may be meant to be."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(str(found), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {found!r}{hint}; valid are {', '.join(names) or 'none'}"


def choices(what: str, found: object, valid: Iterable[str]) -> str:
    """Say that an option's value is none of ``valid``."""
    return f"{what}={found!r} is not valid; valid are {', '.join(repr(name) for name in sorted(valid))}"
