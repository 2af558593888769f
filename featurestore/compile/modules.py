"""First-party modules: where a repo's modules lie, what they import, and importing them apart from other repos'."""

from __future__ import annotations

import ast
import importlib
import sys
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["OWN_PACKAGE", "FirstParty", "ModuleFile", "imported_names", "importing"]

OWN_PACKAGE = "featurestore"
"""Never first-party, even where it lies in the repo."""

_IMPORT_LOCK = threading.RLock()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleFile:
    """A module by its dotted name; ``is_package`` says that ``path`` is an ``__init__.py``."""

    name: str
    path: Path | zipfile.Path
    is_package: bool

    @property
    def package(self) -> str:
        """The package that relative imports count from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    def absolute(self, statement: ast.ImportFrom) -> str:
        """Name the module that a ``from`` statement in this module imports from."""
        if not statement.level:
            return statement.module or ""
        parts = self.package.split(".")
        base = parts[: len(parts) - statement.level + 1]
        return ".".join([*base, *([statement.module] if statement.module else [])])


@dataclass(frozen=True, slots=True)
class FirstParty:
    """The modules that lie under ``root``, found by path without importing anything.

    ``root`` is a folder, or the inside of a zip of modules.
    """

    root: Path | zipfile.Path

    @classmethod
    def at(cls, location: Path) -> FirstParty:
        """Look into a repo's folder, or into an archive of definitions."""
        return cls(zipfile.Path(location) if location.suffix == ".zip" else location)

    def locate(self, name: str) -> ModuleFile | None:
        """Find a module's file; None for modules from elsewhere and for folders without ``__init__.py``."""
        parts = name.split(".")
        if parts[0] == OWN_PACKAGE or not all(part.isidentifier() for part in parts):
            return None
        as_package = self.root.joinpath(*parts, "__init__.py")
        for path, is_package in ((as_package, True), (self.root.joinpath(*parts[:-1], f"{parts[-1]}.py"), False)):
            if path.is_file():
                return ModuleFile(name=name, path=path, is_package=is_package)
        return None

    def members(self, package: str) -> tuple[ModuleFile, ...]:
        """List the modules of a package or folder, itself included, in order of name."""
        folder = Path(str(self.root)).joinpath(*package.split("."))
        found = [self.locate(package)]
        for path in folder.rglob("*.py"):
            inner = path.relative_to(folder).with_suffix("").parts
            found.append(self.locate(".".join([package, *(inner[:-1] if inner[-1] == "__init__" else inner)])))
        unique = {module.name: module for module in found if module is not None}
        return tuple(unique[name] for name in sorted(unique))

    def reached_from(self, name: str) -> tuple[ModuleFile, ...]:
        """List the module, its packages and all first-party modules they import anywhere, sorted by name.

        A module that does not parse is listed, and what it would import is not.
        """
        found: dict[str, ModuleFile] = {}
        waiting = [name]
        while waiting:
            dotted = waiting.pop()
            for candidate in _with_packages(dotted):
                module = self.locate(candidate)
                if module is not None and candidate not in found:
                    found[candidate] = module
                    waiting.extend(imported_names(module))
        return tuple(found[key] for key in sorted(found))


def imported_names(module: ModuleFile, *, top_level_only: bool = False) -> tuple[str, ...]:
    """Name what the module's import statements may load, relative ones resolved; functions' own imports included.

    ``from a import b`` gives both ``a`` and ``a.b``: which of them is a module shows only on disk.
    """
    try:
        tree = ast.parse(module.path.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    names: dict[str, None] = {}
    for node in _top_level(tree.body) if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            base = module.absolute(node)
            if base:
                names.update(
                    dict.fromkeys([base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")])
                )
    return tuple(names)


@contextmanager
def importing(repo: Path, names: Iterable[str]) -> Iterator[None]:
    """Import first-party modules from ``repo`` alone, and forget loaded modules called ``names`` first.

    Two repos with a package of the same name do not mix, not even where one is a folder without ``__init__.py``:
    modules are found by path, before ``sys.path`` is asked. No bytecode is written, so a file edited twice in a second
    is read as it is.
    """
    wanted = {package for dotted in names for package in _with_packages(dotted)}
    finder = _RepoFinder(FirstParty(repo), frozenset(wanted))
    with _IMPORT_LOCK:
        writes = sys.dont_write_bytecode
        for name in wanted:
            if name.partition(".")[0] not in (OWN_PACKAGE, "__main__"):
                sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.meta_path.insert(0, finder)
        sys.path.insert(0, str(repo))
        sys.dont_write_bytecode = True
        try:
            yield
        finally:
            sys.dont_write_bytecode = writes
            sys.path.remove(str(repo))
            sys.meta_path.remove(finder)


@dataclass(frozen=True, slots=True)
class _RepoFinder(MetaPathFinder):
    first_party: FirstParty
    names: frozenset[str]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module = self.first_party.locate(fullname)
        if module is not None:
            folder = [str(Path(str(module.path)).parent)] if module.is_package else None
            return spec_from_file_location(fullname, str(module.path), submodule_search_locations=folder)
        folder_path = Path(str(self.first_party.root)).joinpath(*fullname.split("."))
        if fullname in self.names and folder_path.is_dir():
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(folder_path)]
            return spec
        return None


def _with_packages(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _top_level(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Give the statements that run on import; bodies of ``if TYPE_CHECKING`` and ``__main__`` guards do not."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            if not _is_guard(node.test):
                yield from _top_level(node.body)
            yield from _top_level(node.orelse)
        elif isinstance(node, ast.Try):
            for inner in (node.body, *(handler.body for handler in node.handlers), node.orelse, node.finalbody):
                yield from _top_level(inner)
        elif isinstance(node, ast.With):
            yield from _top_level(node.body)


def _is_guard(test: ast.expr) -> bool:
    return bool({"TYPE_CHECKING", "__name__"} & {n.id for n in ast.walk(test) if isinstance(n, ast.Name)}) or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
