"""``featurestore init``: a new project."""

from __future__ import annotations

from pathlib import Path

import click

from featurestore.cli.output import say
from featurestore.cli.scaffold import FILES
from featurestore.errors import StateError
from featurestore.settings import CONFIG_FILE, parse_text


@click.command("init", short_help="Make a new project.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--project", default="my_features", show_default=True, help="The project's name.")
@click.pass_context
def command(ctx: click.Context, folder: Path, project: str) -> None:
    """Make a project in FOLDER: settings, one definition, the DAG file. Nothing is overwritten."""
    parse_text(FILES[CONFIG_FILE].replace("{project}", project), repo=folder, origin=f"--project {project}")
    if (folder / CONFIG_FILE).exists():
        raise StateError(f"{folder / CONFIG_FILE} exists already; a folder holds one project")
    for name, text in FILES.items():
        path = folder / name
        if path.exists():
            say(f"kept    {path}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{project}", project), encoding="utf-8")
        say(f"created {path}")
    say("next: look at definitions/features.py, then `featurestore plan` and `featurestore apply`")
