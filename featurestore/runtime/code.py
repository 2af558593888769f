"""Make the definitions' code importable where it runs, and refuse code that is not what was applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from featurestore.compile.code import verify_code
from featurestore.errors import StateError
from featurestore.filesystems import write_atomically
from featurestore.ir.content import archive_name
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import CodeRef, FunctionTransformation, PredictionViewNode, StoredViewNode, ViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.online_code import read_code

__all__ = ["applied_archive", "code_of", "ship_archive", "ship_code"]


def code_of(view: StoredViewNode, manifest: Manifest) -> tuple[CodeRef, ...]:
    """Name the functions that computing ``view`` calls."""
    if isinstance(view, ViewNode):
        return (view.user_code.code,) if isinstance(view.user_code, FunctionTransformation) else ()
    assert isinstance(view, PredictionViewNode)
    on_demand = [manifest.on_demand_views[ref.view].code for ref in view.inputs if ref.view in manifest.on_demand_views]
    load = [view.model.load] if isinstance(view.model.load, CodeRef) else []
    return tuple(dict.fromkeys([*load, *on_demand]))


def ship_code(context: RuntimeContext, references: Sequence[CodeRef]) -> None:
    """Check the code's digests against the manifest, and give Spark's workers the definitions zip that was applied.

    StateError when the code in the repo is not what was applied.
    """
    if not references:
        return
    for reference in references:
        verify_code(reference, repo=context.settings.repo)
    ship_archive(context)


def applied_archive(context: RuntimeContext) -> Path:
    """Give where ``apply`` puts the definitions zip of the manifest; it is missing where another machine applied."""
    return context.settings.state_path / "code" / archive_name(context.manifest.code)


def ship_archive(context: RuntimeContext) -> str:
    """Give Spark's workers the definitions zip that was applied, once; give the name it has there.

    A machine that did not apply takes it from the online store. StateError where it is neither here nor there.
    """
    archive = applied_archive(context)
    if archive.name not in context.shipped:
        _fetch(context, archive)
        context.spark.sparkContext.addPyFile(str(archive))
        context.shipped.add(archive.name)
    return archive.name


def _fetch(context: RuntimeContext, archive: Path) -> None:
    if archive.is_file():
        return
    project, digest = context.settings.project, context.manifest.code
    content = read_code(context.online, project, digest)
    if content is None:
        raise StateError(
            f"the definitions zip {archive.name} of project {project!r} is neither at {archive} nor in the online "
            "store; run `featurestore apply` on this machine, with the definitions that are applied",
            path=str(archive),
        )
    write_atomically(archive, content)
