"""``featurestore doctor``: what the engine needs, what was found, and how to mend the rest."""

from __future__ import annotations

import click

from featurestore.cli.output import as_json, print_json, print_table
from featurestore.errors import ExitCode
from featurestore.runtime.doctor import examine
from featurestore.settings import load_settings


@click.command("doctor", short_help="Check what the engine needs on this machine.")
@as_json
@click.pass_context
def command(ctx: click.Context, json_output: bool) -> int:
    """Check packages, Java, Delta jars, the Spark profile, the registry and Redis."""
    findings = examine(load_settings(ctx.obj))
    if json_output:
        print_json([finding.to_dict() for finding in findings])
    else:
        print_table(
            ("part", "", "found", "what to do"),
            [(f.part, "ok" if f.is_ok else "missing", f.found, f.fix) for f in findings],
        )
    return ExitCode.DONE if all(finding.is_ok for finding in findings) else ExitCode.FAILED
