"""The modules of one unpacked definitions archive, apart from those of every other version in the process.

Each archive is a package of its own name in ``sys.modules``; ``import definitions.x`` inside its modules means the
archive's, by an ``__import__`` that only they see. So two versions of one module live side by side.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["IsolatedModules"]

_PREFIX = "_featurestore_code_"


class IsolatedModules:
    """The modules under ``folder``; equal names give the same modules. Files beside them are found by ``__file__``.

    They stay as long as the process: a function may import more of them whenever it runs.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.root = f"{_PREFIX}{name}"
        self._tops = frozenset(path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py"))
        package = sys.modules.setdefault(self.root, ModuleType(self.root))
        package.__path__ = [str(folder)]
        _Finder.install(self.root, {**vars(builtins), "__import__": self._import})

    def holds(self, module: str) -> bool:
        """Say whether a module, or the package it lies in, is the archive's."""
        return module.partition(".")[0] in self._tops

    def load(self, module: str) -> ModuleType:
        """Import a module by its name in the archive."""
        return importlib.import_module(f"{self.root}.{module}")

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 as Python calls it
        locals: Mapping[str, object] | None = None,  # noqa: A002 as Python calls it
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level or not self.holds(name):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{self.root}.{name}", globals, locals, fromlist, 0)
        self.load(name)
        return sys.modules[f"{self.root}.{name.partition('.')[0]}"]


class _Finder(MetaPathFinder):
    """Finds the modules of all archives; each sees its archive's builtins."""

    _builtins: Mapping[str, dict[str, Any]] = {}

    @classmethod
    def install(cls, root: str, seen: dict[str, Any]) -> None:
        cls._builtins = {**cls._builtins, root: seen}
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        seen = self._builtins.get(fullname.partition(".")[0])
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and seen is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path, seen)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, seen: dict[str, Any]) -> None:
        super().__init__(fullname, path)
        self._seen = seen

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._seen
        super().exec_module(module)
