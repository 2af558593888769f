"""The least that a lookup can be: redis-py's MGET, ``np.frombuffer``, ``tolist`` for each column; no checks at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from redis import Redis

__all__ = ["LookupFloor"]

_HEADER_BYTES = 17


class LookupFloor:
    """Reads values in the packed format (docs/formats.md) under plain keys; all columns are float64 and never null."""

    def __init__(self, redis: Redis, views: Mapping[str, Sequence[str]]) -> None:
        self._redis = redis
        self._dtypes = {
            view: np.dtype(
                [("header", "V", _HEADER_BYTES + (len(columns) + 7) // 8), *((name, "<f8") for name in columns)]
            )
            for view, columns in views.items()
        }

    @staticmethod
    def key(view: str, user: int) -> bytes:
        return b"%s:%d" % (view.encode(), user)

    def copy(self, view: str, values: Mapping[int, bytes]) -> None:
        """Keep packed values under the plain keys."""
        self._redis.mset({self.key(view, user): value for user, value in values.items()})

    def lookup(self, users: Sequence[int]) -> dict[str, list[float] | Sequence[int]]:
        """Give all columns of all views for these users."""
        keys = [b"%s:%d" % (prefix, user) for prefix in map(str.encode, self._dtypes) for user in users]
        values = self._redis.mget(keys)
        found: dict[str, list[float] | Sequence[int]] = {"user_id": users}
        count = len(users)
        for number, dtype in enumerate(self._dtypes.values()):
            rows = np.frombuffer(b"".join(values[number * count : (number + 1) * count]), dtype)
            for name in dtype.names[1:]:
                found[name] = rows[name].tolist()
        return found
