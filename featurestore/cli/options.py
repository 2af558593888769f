"""Options and argument types that several verbs share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from featurestore.intervals import parse_instant, utc_now
from featurestore.store import FeatureStore

__all__ = ["INSTANT", "entity_row", "open_store", "views_option"]


class _Instant(click.ParamType[datetime]):
    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_instant(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


INSTANT = _Instant()

views_option = click.option("--view", "-v", "views", multiple=True, help="A view; may be given again (default: all).")


def entity_row(text: str, option: str = "--entity") -> dict[str, Any]:
    """Read ``key=value[,key=value…]``; ``now`` is the present instant."""
    row: dict[str, Any] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise click.UsageError(f"{option} {text!r}: write key=value, and a comma between two keys")
        row[key.strip()] = utc_now() if value == "now" else value
    return row


def open_store(ctx: click.Context) -> FeatureStore:
    """Open the store of ``--repo``, closed when the command ends."""
    store: FeatureStore = ctx.with_resource(FeatureStore(ctx.obj))
    return store
