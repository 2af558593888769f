"""Problems of functions that definitions name: they must be importable by path where they run."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from featurestore.compile.modules import FirstParty
from featurestore.compile.report import unknown

__all__ = ["function_problems", "load_path_problems"]

_MOVE = "move it to a module of the definitions"


def function_problems(function: object, repo: Path, option: str) -> Iterator[str]:
    """Say why a function cannot be carried to where it runs, and how to mend it."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if module is None or name is None:
        yield f"{option} is a {type(function).__name__}, which has no import path; write it with def in a module"
    elif "<lambda>" in name:
        yield f"{option} is a lambda, which no other process can import; write it with def at the top level of a module"
    elif "<locals>" in name:
        yield f"{option} {name!r} is defined inside another function; move it to the top level of module {module}"
    elif module == "__main__":
        yield f"{option} {name!r} is in __main__, which no other process can import; {_MOVE}"
    elif FirstParty(repo).locate(module) is None and not _is_installed(module):
        yield f"{option} {name!r}: module {module} is neither under {repo} nor installed; {_MOVE}"


def load_path_problems(path: str, repo: Path) -> Iterator[str]:
    """Say why ``module:function`` names no function; nothing is imported."""
    module_name, separator, function = path.partition(":")
    if not separator or not function.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        yield f'load={path!r} is not valid; write "module:function", such as "definitions.models:load_ctr"'
        return
    module = FirstParty(repo).locate(module_name)
    if module is None:
        if not _is_installed(module_name):
            yield f"load={path!r}: there is no module {module_name!r} under {repo}, and none is installed"
        return
    try:
        tree = ast.parse(module.path.read_bytes())
    except (SyntaxError, ValueError) as error:
        yield f"load={path!r}: module {module_name} is not Python: {error}"
        return
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    bound |= {
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    if function not in functions | bound:
        yield f"load={path!r}: module {module_name}: {unknown('function', function, functions)}"


def _is_installed(module: str) -> bool:
    """Ask for the top-level package alone: looking for a submodule would import its parents."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False
