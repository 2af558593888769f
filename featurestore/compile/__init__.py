"""Definitions to manifest: load, validate, lower."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featurestore.compile.archive import write_archive
from featurestore.compile.catalog import build_catalog
from featurestore.compile.code import verify_code
from featurestore.compile.loader import (
    LoadedDefinitions,
    load_definitions,
    load_objects,
)
from featurestore.compile.lower import lower
from featurestore.compile.schemas import SchemaOf, Schemas, lower_sources
from featurestore.compile.validate import validate
from featurestore.errors import DefinitionError, Problem
from featurestore.ir.manifest import Manifest

__all__ = [
    "CompileResult",
    "LoadedDefinitions",
    "SchemaOf",
    "compile_definitions",
    "load_definitions",
    "load_objects",
    "verify_code",
    "write_archive",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """The manifest, and what is allowed but probably not meant."""

    manifest: Manifest
    warnings: tuple[Problem, ...] = ()


def compile_definitions(loaded: LoadedDefinitions, *, project: str, repo: Path, schema_of: SchemaOf) -> CompileResult:
    """Make the manifest of all definitions; DefinitionError holds all problems of all of them.

    ``schema_of`` reads the columns of sources that do not declare them. The definitions' functions never run.
    """
    catalog, report = build_catalog(loaded)
    schemas = Schemas(catalog=catalog, sources=lower_sources(catalog, schema_of, report), unsound=report.unsound)
    validate(catalog, schemas, report, repo.resolve())
    if report.problems:
        raise DefinitionError(sorted(set(report.problems)))
    return CompileResult(
        manifest=lower(catalog, schemas, project=project, repo=repo.resolve()),
        warnings=tuple(sorted(set(report.warnings))),
    )
