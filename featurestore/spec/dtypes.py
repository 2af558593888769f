"""The value types of features and keys; each has one canonical text form, such as ``array<int64>``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias, assert_never

__all__ = [
    "SCALARS",
    "Array",
    "Bool",
    "Bytes",
    "DType",
    "Date",
    "Decimal",
    "Float32",
    "Float64",
    "Int32",
    "Int64",
    "Json",
    "Map",
    "Scalar",
    "String",
    "Timestamp",
    "parse_dtype",
    "show_dtype",
]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A type without parameters."""

    name: str

    def __repr__(self) -> str:
        return self.name


Int32 = Scalar("int32")
Int64 = Scalar("int64")
Float32 = Scalar("float32")
Float64 = Scalar("float64")
Bool = Scalar("bool")
String = Scalar("string")
Bytes = Scalar("bytes")
Timestamp = Scalar("timestamp")
"""An instant in UTC with microseconds."""
Date = Scalar("date")
Json = Scalar("json")
"""JSON text, checked when written."""

SCALARS: tuple[Scalar, ...] = (Int32, Int64, Float32, Float64, Bool, String, Bytes, Timestamp, Date, Json)


@dataclass(frozen=True, slots=True)
class Decimal:
    """A decimal number of ``precision`` digits, ``scale`` of them behind the point."""

    precision: int
    scale: int
    name: ClassVar[str] = "decimal"

    def __post_init__(self) -> None:
        if not (1 <= self.precision <= 38 and 0 <= self.scale <= self.precision):
            raise ValueError(
                f"Decimal({self.precision}, {self.scale}): precision is 1 to 38 and scale is 0 to the precision"
            )


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values of one type, which may itself be an Array."""

    element: DType
    name: ClassVar[str] = "array"


@dataclass(frozen=True, slots=True)
class Map:
    """Unordered pairs; keys are scalars and never null."""

    key: DType
    value: DType
    name: ClassVar[str] = "map"


DType: TypeAlias = Scalar | Decimal | Array | Map

_BY_NAME = {scalar.name: scalar for scalar in SCALARS}


def show_dtype(dtype: DType) -> str:
    """Write the canonical text form."""
    match dtype:
        case Scalar(name=name):
            return name
        case Decimal(precision=precision, scale=scale):
            return f"decimal({precision},{scale})"
        case Array(element=element):
            return f"array<{show_dtype(element)}>"
        case Map(key=key, value=value):
            return f"map<{show_dtype(key)},{show_dtype(value)}>"
        case _:
            assert_never(dtype)


def parse_dtype(text: str) -> DType:
    """Read the canonical text form; the inverse of ``show_dtype``."""
    text = text.strip()
    if text in _BY_NAME:
        return _BY_NAME[text]
    if text.startswith("decimal(") and text.endswith(")"):
        precision, _, scale = text[len("decimal(") : -1].partition(",")
        return Decimal(int(precision), int(scale))
    if text.startswith("array<") and text.endswith(">"):
        return Array(parse_dtype(text[len("array<") : -1]))
    if text.startswith("map<") and text.endswith(">"):
        key, value = _split_pair(text[len("map<") : -1])
        return Map(parse_dtype(key), parse_dtype(value))
    raise ValueError(f"{text!r} is no type; valid are {', '.join(_BY_NAME)}, decimal(p,s), array<T> and map<K,V>")


def _split_pair(text: str) -> tuple[str, str]:
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            return text[:position], text[position + 1 :]
    raise ValueError(f"map<{text}> has no comma between its key and value type")
