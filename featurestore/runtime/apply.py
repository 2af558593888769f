"""Compile the definitions, show what changes, and record them in the registry, the repo's state folder and Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from featurestore.compile import CompileResult, compile_definitions
from featurestore.compile.archive import write_archive
from featurestore.compile.loader import load_definitions, load_objects
from featurestore.filesystems import write_atomically
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import DeltaSourceNode, FileSourceNode, StoredViewNode
from featurestore.ir.serialize import manifest_to_json
from featurestore.plan.amounts import SourcePart
from featurestore.plan.plan import Plan, build_plan
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.online_code import keep_code
from featurestore.runtime.pending import late_warnings
from featurestore.runtime.pointer import announce_manifest
from featurestore.stores.source_schema import read_source_schema
from featurestore.stores.source_statistics import source_parts, table_row_bytes

__all__ = ["apply_definitions", "compile_project", "plan_definitions"]

logger = logging.getLogger(__name__)


def compile_project(context: RuntimeContext, objects: Sequence[object] | None = None) -> CompileResult:
    """Compile the repo's definitions folder, or the given objects; DefinitionError has every problem."""
    settings = context.settings
    loaded = load_definitions(settings.repo, settings.definitions) if objects is None else load_objects(objects)
    return compile_definitions(
        loaded,
        project=settings.project,
        repo=settings.repo,
        schema_of=lambda source: read_source_schema(source, settings.absolute),
    )


def plan_definitions(context: RuntimeContext, objects: Sequence[object] | None = None) -> Plan:
    """Say what ``apply`` would change and what would then be computed; nothing is written."""
    return _plan(context, compile_project(context, objects))


def apply_definitions(context: RuntimeContext, objects: Sequence[object] | None = None) -> Plan:
    """Record the definitions; give the plan that was carried out.

    Order: definitions zip, registry, manifest file for DAGs; zip, manifest and pointer in Redis. Each write replaces
    its like, so a crash in between is mended by the next apply. Applying what stands changes nothing.
    """
    compiled = compile_project(context, objects)
    plan = _plan(context, compiled)
    settings = context.settings
    models = [path for view in compiled.manifest.prediction_views.values() for path in view.model.paths]
    digest, archive = write_archive(settings.repo, settings.definitions, settings.state_path / "code", models)
    manifest = context.registry.record(replace(compiled.manifest, code=digest), now=context.clock())
    write_atomically(settings.manifest_path, manifest_to_json(manifest))
    keep_code(context.online, settings.project, digest, archive)
    announce_manifest(context, manifest)
    context.reload()
    logger.info("applied generation %d of %s", manifest.generation, manifest.project)
    return plan


def _plan(context: RuntimeContext, compiled: CompileResult) -> Plan:
    current: Manifest | None = context.registry.current()
    applied = {
        (version.view, version.fingerprint): version.version
        for view in compiled.manifest.stored_views()
        for version in context.registry.versions(view.name)
    }
    return build_plan(
        current,
        compiled.manifest,
        ledger=context.ledger,
        now=context.clock(),
        warnings=[*compiled.warnings, *(late_warnings(context, compiled.manifest) if current is not None else ())],
        applied=applied,
        statistics=_Statistics(context),
    )


class _Statistics:
    """What stored data say of themselves, without Spark."""

    def __init__(self, context: RuntimeContext) -> None:
        self._context = context

    def source_parts(self, source: FileSourceNode | DeltaSourceNode) -> Sequence[SourcePart] | None:
        return source_parts(source, self._context.settings.absolute)

    def row_bytes(self, view: StoredViewNode) -> float | None:
        return table_row_bytes(self._context.table_path(view))
