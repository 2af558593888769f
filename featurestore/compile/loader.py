"""Load definitions: import the definition modules of a repo, and collect the objects they hold."""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, TypeGuard, get_args

import featurestore
from featurestore.compile.modules import (
    OWN_PACKAGE,
    FirstParty,
    ModuleFile,
    imported_names,
    importing,
)
from featurestore.errors import DefinitionError, Problem
from featurestore.spec.entity import Entity
from featurestore.spec.feature_view import (
    BatchFeatureView,
    OnDemandFeatureView,
    StreamFeatureView,
)
from featurestore.spec.permission import Permission
from featurestore.spec.prediction import PredictionView
from featurestore.spec.service import FeatureService
from featurestore.spec.source import (
    DeltaSource,
    FileSource,
    KafkaSource,
    PushSource,
    RequestSource,
)

__all__ = ["Definition", "LoadedDefinitions", "LoadedObject", "load_definitions", "load_objects"]

Definition: TypeAlias = (
    Entity
    | FileSource
    | DeltaSource
    | PushSource
    | KafkaSource
    | RequestSource
    | BatchFeatureView
    | StreamFeatureView
    | OnDemandFeatureView
    | PredictionView
    | FeatureService
    | Permission
)
_DEFINITIONS = get_args(Definition)
_VOCABULARY = frozenset({*featurestore.__all__, "spec", "types"}) - {"FeatureStore", "PushMode"}
"""What definition modules import; the names left out are for scripts."""
_HEAVY = ("airflow", "delta", "great_expectations", "pandas", "pyspark", "redis", "sklearn", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedObject:
    """A definition and where it stands, such as ``definitions/web.py:14``."""

    definition: Definition
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDefinitions:
    """What was found; ``problems`` has the modules that did not load, ``warnings`` those that load slowly."""

    objects: tuple[LoadedObject, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def load_definitions(repo: Path, package: str) -> LoadedDefinitions:
    """Import the definition modules of ``package`` (dotted name, or a folder relative to ``repo``).

    A definition module is a ``.py`` file not starting with ``_`` (an ``__init__.py`` may be one) that imports some of
    the vocabulary from ``featurestore`` at its top level; other files, such as scripts that only use ``FeatureStore``,
    are imported only where a definition module does so. A module that fails becomes a problem; the others still load.
    """
    repo, name = repo.resolve(), package.strip("/").replace("/", ".")
    first_party = FirstParty.at(repo)
    members = first_party.members(name)
    if not members:
        raise DefinitionError([_absent(repo, package)])
    modules = [module for module in members if _is_definition_module(module)]
    closure = {found.name for module in modules for found in first_party.reached_from(module.name)}
    inside = {loaded for loaded in tuple(sys.modules) if loaded == name or loaded.startswith(f"{name}.")}
    problems: list[Problem] = []
    loaded: list[tuple[ModuleType, str]] = []
    with importing(repo, closure | inside):
        for module in modules:
            shown = _shown(module, repo)
            try:
                loaded.append((importlib.import_module(module.name), shown))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
                problems.append(_import_problem(error, module, shown, repo))
    warnings = tuple(warning for module in modules for warning in _heavy_imports(module, _shown(module, repo)))
    return LoadedDefinitions(objects=tuple(_collect(loaded)), problems=tuple(problems), warnings=warnings)


def load_objects(objects: Iterable[Any]) -> LoadedDefinitions:
    """Take definitions from a notebook or a test; their location is their position in ``objects``."""
    found: list[LoadedObject] = []
    problems: list[Problem] = []
    for position, value in enumerate(objects):
        location = f"objects[{position}]"
        if _is_definition(value):
            found.append(LoadedObject(definition=value, location=location))
        else:
            valid = ", ".join(kind.__name__ for kind in _DEFINITIONS)
            message = f"found an object of type {type(value).__name__}; valid are {valid}"
            problems.append(Problem(location=location, object=repr(value)[:80], message=message))
    return LoadedDefinitions(objects=tuple(found), problems=tuple(problems))


def _is_definition(value: Any) -> TypeGuard[Definition]:
    return isinstance(value, _DEFINITIONS)


def _is_definition_module(module: ModuleFile) -> bool:
    if module.name.rpartition(".")[2].startswith("_"):
        return False
    if not _parses(module):
        return True
    names = imported_names(module, top_level_only=True)
    parts = {name.split(".")[1] for name in names if name.startswith(f"{OWN_PACKAGE}.")}
    return bool(parts & _VOCABULARY) or (OWN_PACKAGE in names and not parts)


def _parses(module: ModuleFile) -> bool:
    try:
        ast.parse(module.path.read_bytes())
    except (SyntaxError, ValueError):
        return False
    return True


def _collect(modules: Iterable[tuple[ModuleType, str]]) -> Iterator[LoadedObject]:
    """Give each object once: first where it is assigned, then those that are only imported."""
    seen: set[int] = set()
    modules = tuple(modules)
    for assigned_only in (True, False):
        for module, shown in modules:
            lines = _lines(module)
            for name, value in vars(module).items():
                if name not in lines if assigned_only else name in lines:
                    continue
                for item in value if isinstance(value, list | tuple) else (value,):
                    if _is_definition(item) and id(item) not in seen:
                        seen.add(id(item))
                        line = lines.get(name)
                        yield LoadedObject(definition=item, location=f"{shown}:{line}" if line else shown)


def _lines(module: ModuleType) -> Mapping[str, int]:
    """Find the line of each name that the module itself binds at its top level."""
    lines: dict[str, int] = {}
    for node in ast.parse(Path(module.__file__ or "").read_bytes()).body:
        for inner in ast.walk(node) if not isinstance(node, ast.FunctionDef | ast.ClassDef) else (node,):
            if isinstance(inner, ast.FunctionDef | ast.ClassDef):
                lines.setdefault(inner.name, inner.lineno)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                lines[inner.id] = inner.lineno
    return lines


def _import_problem(error: BaseException, module: ModuleFile, shown: str, repo: Path) -> Problem:
    """Name the innermost line of the repo that the error passed through."""
    location = shown
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(repo):
        location = f"{Path(error.filename).relative_to(repo).as_posix()}:{error.lineno}"
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if Path(frame.filename).is_relative_to(repo) and not _is_ours(frame.filename):
                location = f"{Path(frame.filename).relative_to(repo).as_posix()}:{frame.lineno}"
    text = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    return Problem(location=location, object=f"module {module.name}", message=f"does not import: {text}")


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(Path(featurestore.__file__).parent) or "site-packages" in filename


def _heavy_imports(module: ModuleFile, shown: str) -> Iterator[Problem]:
    tops = {name.partition(".")[0] for name in imported_names(module, top_level_only=True)}
    for heavy in sorted(tops & set(_HEAVY)):
        message = (
            f"imports {heavy} when it is loaded, which every command and service then waits for: "
            "import it inside the function that needs it"
        )
        yield Problem(location=shown, object=f"module {module.name}", message=message)


def _absent(repo: Path, package: str) -> Problem:
    folders = (
        sorted(entry.name for entry in repo.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        if repo.is_dir()
        else []
    )
    message = (
        f"there are no Python modules in {repo / package.replace('.', '/')}; `definitions:` in feature_store.yaml "
        f"names a folder of the repo by names Python can import. Folders there: {', '.join(folders) or 'none'}"
    )
    return Problem(location="feature_store.yaml", object=f"definitions {package!r}", message=message)


def _shown(module: ModuleFile, repo: Path) -> str:
    return Path(str(module.path)).relative_to(repo).as_posix()
