"""``featurestore package``: what a cluster's Python workers need, in one archive."""

from __future__ import annotations

from pathlib import Path

import click

from featurestore.cli.output import as_json, print_json, print_table, say

DEFAULT_EXTRAS = ("spark", "models")


@click.command("package", short_help="Pack the packages that Spark's workers need.")
@click.argument("archive", type=click.Path(dir_okay=False, path_type=Path), default="environment.tar.gz")
@click.option(
    "--extra",
    "extras",
    multiple=True,
    default=DEFAULT_EXTRAS,
    show_default=True,
    help="An extra of featurestore to pack; may be given again.",
)
@click.option(
    "--with", "others", multiple=True, help="Another installed package that your definitions import; may be repeated."
)
@as_json
def command(archive: Path, extras: tuple[str, ...], others: tuple[str, ...], json_output: bool) -> None:
    """Write ARCHIVE (.tar.gz) with featurestore and what it needs, as they are installed here.

    The nodes need this version of Python, and nothing else of Python. The definitions are not in it: `apply` stores
    them, and each job sends them along.
    """
    from featurestore.embedded.worker_environment import pack_environment

    packed = pack_environment(archive, extras=extras, others=others)
    if json_output:
        document = {"archive": str(packed.path), "bytes": packed.bytes, "packages": dict(packed.packages)}
        print_json({**document, "settings": packed.settings})
        return
    print_table(("package", "version"), packed.packages)
    say(f"{packed.path}: {packed.bytes / 1e6:,.0f} MB. In the cluster's profile in spark_conf/:")
    for name, value in packed.settings.items():
        say(f"{name}  {value}")
