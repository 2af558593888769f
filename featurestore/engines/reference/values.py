"""One order and one equality of values, whatever computed them."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["rank", "same"]


def rank(value: Any) -> tuple[Any, ...]:
    """Give what a value sorts by within its column; two values are the same iff their ranks are equal.

    Null comes first, NaN after every number and equal to itself, -0.0 before 0.0. Strings go by code point, which is
    also the order of their UTF-8 bytes.
    """
    match value:
        case None:
            return (0,)
        case float() if math.isnan(value):
            return (1, 1)
        case float():
            return (1, 0, value, math.copysign(1.0, value))
        case list() | tuple():
            return (1, tuple(rank(item) for item in value))
        case dict():
            return (1, tuple(sorted((rank(key), rank(item)) for key, item in value.items())))
        case _:
            return (1, value)


def same(left: Any, right: Any) -> bool:
    """Say whether two values are equal: equal bits, every NaN equal to every other."""
    return rank(left) == rank(right)
