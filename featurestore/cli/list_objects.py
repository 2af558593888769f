"""``featurestore list``: what is applied."""

from __future__ import annotations

from typing import Any

import click

from featurestore.cli.options import open_store
from featurestore.cli.output import as_json, print_json, print_table
from featurestore.ir.manifest import Manifest

KINDS = ("entities", "sources", "views", "on-demand-views", "prediction-views", "services")


@click.command("list", short_help="List applied objects of one kind.")
@click.argument("kind", type=click.Choice(KINDS))
@as_json
@click.pass_context
def command(ctx: click.Context, kind: str, json_output: bool) -> None:
    """List applied objects of one KIND."""
    rows = _rows(open_store(ctx).manifest, kind)
    if json_output:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def _rows(manifest: Manifest, kind: str) -> list[dict[str, Any]]:
    if kind == "entities":
        return [{"name": e.name, "keys": _fields(e.keys)} for e in manifest.entities.values()]
    if kind == "sources":
        return [{"name": s.name, "kind": type(s).__name__.removesuffix("Node")} for s in manifest.sources.values()]
    if kind == "services":
        return [
            {"name": s.name, "features": ", ".join(f"{ref.alias}:{ref.feature}" for ref in s.features)}
            for s in manifest.services.values()
        ]
    if kind == "on-demand-views":
        return [
            {
                "name": view.name,
                "features": _fields(view.features),
                "written": "yes" if view.write_to_online_store else "no",
                "keys": _fields(view.join_keys),
                "version": view.version or None,
            }
            for view in manifest.on_demand_views.values()
        ]
    chosen = manifest.views if kind == "views" else manifest.prediction_views
    return [
        {
            "name": view.name,
            "version": view.version,
            "keys": _fields(view.join_keys),
            "schedule": str(view.schedule or ""),
            "features": _fields(view.features),
        }
        for view in chosen.values()
    ]


def _fields(fields: Any) -> str:
    return ", ".join(field.name for field in fields)
