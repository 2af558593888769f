"""The caller's entity rows as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from featurestore.errors import EntityKeyMissing

__all__ = ["EntityColumns", "EntityRows", "read_entity_rows", "to_list", "with_optional"]

EntityRows: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""One mapping for each row, or one list, array or series for each column."""


@dataclass(frozen=True, slots=True)
class EntityColumns:
    count: int
    columns: Mapping[str, Any]


def read_entity_rows(entity_rows: EntityRows, needed: Sequence[str]) -> EntityColumns:
    """Pick the needed columns; EntityKeyMissing names the column, and the row that lacks it. Others are ignored."""
    if isinstance(entity_rows, Mapping):
        return _from_columns(entity_rows, needed)
    columns: dict[str, list[Any]] = {}
    try:
        for name in needed:
            columns[name] = [row[name] for row in entity_rows]
    except (KeyError, TypeError, IndexError) as error:
        raise _lacking(entity_rows, needed) from error
    return EntityColumns(len(entity_rows), columns)


def with_optional(entity_rows: EntityRows, needed: Sequence[str], optional: Sequence[str]) -> list[str]:
    """Name the columns to read of a request: those needed, and of the others those it has (by its first row)."""
    found: Any = entity_rows if isinstance(entity_rows, Mapping) else next(iter(entity_rows), None)
    return [*needed, *(name for name in optional if isinstance(found, Mapping) and name in found)]


def to_list(column: Any) -> list[Any]:
    """Give a request column as the caller gave it, as Python values."""
    if isinstance(column, list):
        return column
    for name in ("tolist", "to_pylist"):
        if hasattr(column, name):
            values: list[Any] = getattr(column, name)()
            return values
    return list(column)


def _from_columns(entity_rows: Mapping[str, Any], needed: Sequence[str]) -> EntityColumns:
    if not entity_rows:
        return EntityColumns(0, {name: [] for name in needed})
    missing = [name for name in needed if name not in entity_rows]
    if missing:
        raise EntityKeyMissing(
            f"the request lacks {', '.join(map(repr, missing))}; found {', '.join(map(repr, entity_rows))}; "
            f"this feature set needs {', '.join(map(repr, needed))}",
            missing=missing,
        )
    columns = {name: entity_rows[name] for name in needed} or dict(entity_rows)
    lengths = {}
    for name, column in columns.items():
        if isinstance(column, (str, bytes)) or not hasattr(column, "__len__"):
            raise EntityKeyMissing(
                f"column {name!r} of the request is {type(column).__name__} {column!r}; "
                "give a list or array with one value for each row, or a list of mappings",
                column=name,
            )
        lengths[name] = len(column)
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise EntityKeyMissing(f"the request's columns differ in length: {shown}; give one value for each row")
    return EntityColumns(next(iter(lengths.values())), columns)


def _lacking(entity_rows: Sequence[Any], needed: Sequence[str]) -> EntityKeyMissing:
    for number, row in enumerate(entity_rows):
        if not isinstance(row, Mapping):
            return EntityKeyMissing(
                f"entity row {number} is {type(row).__name__}; valid is a mapping with {', '.join(map(repr, needed))}",
                row=number,
            )
        missing = [name for name in needed if name not in row]
        if missing:
            found = ", ".join(map(repr, row)) or "nothing"
            return EntityKeyMissing(
                f"entity row {number} lacks {', '.join(map(repr, missing))}; found {found}; "
                f"this feature set needs {', '.join(map(repr, needed))}",
                row=number,
                missing=missing,
            )
    return EntityKeyMissing("the entity rows cannot be read; give a list of mappings, or a mapping of columns")
