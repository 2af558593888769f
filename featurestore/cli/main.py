"""``featurestore``: finds the verb, turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence

import click

from featurestore.cli.output import complain
from featurestore.errors import ExitCode, FeatureStoreError

__all__ = ["VERBS", "cli", "main"]

VERBS: dict[str, str] = {
    "init": "init",
    "up": "up",
    "down": "down",
    "plan": "plan",
    "apply": "apply",
    "ensure": "ensure",
    "materialize": "materialize",
    "materialize-incremental": "materialize_incremental",
    "backfill": "backfill",
    "repair": "repair",
    "publish": "publish",
    "push": "push",
    "rollback": "rollback",
    "served": "served",
    "status": "status",
    "get-online-features": "get_online_features",
    "get-historical-features": "get_historical_features",
    "compare-predictions": "compare_predictions",
    "monitor": "monitor",
    "list": "list_objects",
    "dag": "dag",
    "ledger": "ledger",
    "optimize": "optimize",
    "gc": "gc",
    "package": "package",
    "doctor": "doctor",
    "teardown": "teardown",
}
"""Verb to the module that has it; a module is imported when its verb is called or its help is shown."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"featurestore.cli.{VERBS[name]}").command
        return command


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--repo", type=click.Path(file_okay=False), default=".", show_default=True, help="The project's folder.")
@click.option("--verbose", is_flag=True, help="Show what the library logs.")
@click.version_option(package_name="featurestore", prog_name="featurestore")
@click.pass_context
def cli(ctx: click.Context, repo: str, verbose: bool) -> None:
    """Define, compute, publish and look up features and cached predictions."""
    ctx.obj = repo
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("featurestore").setLevel(logging.INFO if verbose else logging.ERROR)
    logging.getLogger().setLevel(logging.WARNING if verbose else logging.ERROR)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        outcome = cli.main(args=argv, prog_name="featurestore", standalone_mode=False)
        code = outcome if isinstance(outcome, int) else ExitCode.DONE
    except click.exceptions.Abort:
        complain("interrupted")
        code = 130
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except FeatureStoreError as error:
        complain(str(error))
        code = error.exit_code
    sys.exit(int(code))
