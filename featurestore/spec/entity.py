"""Entities: what features describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.spec.dtypes import DType, String

__all__ = ["Entity", "Field"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A named, typed column."""

    name: str
    dtype: DType
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A thing with a key; several ``join_keys`` make a composite key.

    ``dtypes`` has one type for each join key; String where it is left out. ``join_keys`` defaults to the name.
    """

    name: str
    join_keys: Sequence[str] = ()
    dtypes: Sequence[DType] = ()
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "join_keys", tuple(self.join_keys) or (self.name,))
        object.__setattr__(self, "dtypes", tuple(self.dtypes) or (String,) * len(self.join_keys))
