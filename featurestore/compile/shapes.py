"""Check that the options of a definition have the types that its class declares."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, cast, get_args, get_origin

from featurestore.spec.aggregation import Aggregation
from featurestore.spec.entity import Field
from featurestore.spec.permission import RoleBasedPolicy
from featurestore.spec.prediction import Model

__all__ = ["shape_problems"]

_PARTS = (Aggregation, Field, Model, RoleBasedPolicy)


def shape_problems(definition: Any) -> Iterator[str]:
    """Say of each option of the wrong type what was found and what is valid; parts such as fields included."""
    for name, annotation in _annotations(cast(Hashable, type(definition))).items():
        value = getattr(definition, name)
        if not _fits(value, annotation):
            yield f"{name}={_show(value, annotation)} has the wrong type; valid is {_describe(annotation)}"
            continue
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, _PARTS):
                label = f"{type(part).__name__} {getattr(part, 'name', None) or ''}".strip()
                yield from (f"{label}: {problem}" for problem in shape_problems(part))


def _fits(value: Any, annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any or value is annotation is None:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, member) for member in arguments)
    if origin is Callable:
        return callable(value)
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(_fits(item, arguments[0]) for item in value)
    if origin in (set, frozenset):
        return isinstance(value, origin) and all(_fits(item, arguments[0]) for item in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(k, arguments[0]) and _fits(v, arguments[1]) for k, v in value.items()
        )
    if annotation in (int, float):
        return type(value) is int or type(value) is annotation
    return isinstance(value, annotation)


def _show(value: Any, annotation: Any) -> str:
    """Show the value, or the first item of it that is wrong."""
    for member in (annotation, *get_args(annotation)):
        if get_origin(member) is Sequence and isinstance(value, list | tuple):
            wrong = [item for item in value if not _fits(item, get_args(member)[0])]
            if wrong:
                return f"[… {_short(wrong[0])} …]"
    return _short(value)


def _short(value: Any) -> str:
    name = getattr(value, "name", None)
    return f"{type(value).__name__} {name!r}" if dataclasses.is_dataclass(value) and name else repr(value)[:60]


def _describe(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_describe(member) for member in arguments))
    if origin is Sequence:
        return f"a list of {_describe(arguments[0])}"
    if origin in (set, frozenset):
        return f"a set of {_describe(arguments[0])}"
    if origin is Mapping:
        return f"a mapping of {_describe(arguments[0])} to {_describe(arguments[1])}"
    if origin is Callable:
        return "a function"
    return "None" if annotation in (None, types.NoneType) else str(annotation.__name__)


@functools.cache
def _annotations(kind: Hashable) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(cast(Any, kind))}
