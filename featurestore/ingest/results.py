"""What a write did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from featurestore.stores.base import WriteCount

__all__ = ["WriteResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """Counts of one write; a row of one view counts once, also where several versions of the view took it.

    ``written`` rows replaced or made a value, ``ignored`` ones were older than or equal to what stands or to another
    row of the frame, ``dead_lettered`` ones were invalid and set aside. ``landed`` rows wait in the offline store for
    the next step. ``skipped`` says which other versions of a view could not take the rows, and why. ``predicted`` has
    the predictions that were made from the rows, by prediction view.
    """

    written: int = 0
    ignored: int = 0
    dead_lettered: int = 0
    landed: int = 0
    views: Mapping[str, WriteCount] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    predicted: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", MappingProxyType(dict(self.views)))
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))
        object.__setattr__(self, "predicted", MappingProxyType(dict(self.predicted)))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.to_dict(),))

    def __add__(self, other: WriteResult) -> WriteResult:
        views = dict(self.views)
        for name, count in other.views.items():
            views[name] = views.get(name, WriteCount()) + count
        return WriteResult(
            written=self.written + other.written,
            ignored=self.ignored + other.ignored,
            dead_lettered=self.dead_lettered + other.dead_lettered,
            landed=self.landed + other.landed,
            views=views,
            skipped={**self.skipped, **other.skipped},
            predicted={**self.predicted, **other.predicted},
        )

    def to_dict(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "written": self.written,
            "ignored": self.ignored,
            "dead_lettered": self.dead_lettered,
            "landed": self.landed,
            "views": {
                name: {"written": count.written, "ignored": count.ignored, "bytes": count.bytes_sent}
                for name, count in self.views.items()
            },
            "skipped": dict(self.skipped),
            "predicted": dict(self.predicted),
        }


def _rebuild(content: Mapping[str, Any]) -> WriteResult:
    views = {
        name: WriteCount(written=count["written"], ignored=count["ignored"], bytes_sent=count["bytes"])
        for name, count in content["views"].items()
    }
    return WriteResult(**{**content, "views": views})
