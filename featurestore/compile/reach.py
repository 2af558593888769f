"""The code a function reaches: top-level statements of its module and of first-party modules, and no others.

A definitions module holds many views; a change of one must not count as a change of another's function. So a
function's code is its own statement and, repeatedly, the statements that bind the names it refers to. Statements
without a name (calls, loops, ``if`` blocks) count as soon as anything of their module does. Where names cannot be
followed (``import module``, ``import *``, ``globals()``, ``eval``) the whole module counts.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field

from featurestore.compile.modules import FirstParty, ModuleFile

__all__ = ["Reached", "reached_code"]

_EVERYTHING = "*"
_DYNAMIC = frozenset({"__import__", "eval", "exec", "globals", "importlib", "locals", "vars"})
_DEFINING = frozenset({"batch_feature_view", "on_demand_feature_view"})


@dataclass(frozen=True, slots=True)
class Reached:
    """A reached part of a module: syntax without comments, docstrings and layout."""

    module: str
    syntax: tuple[str, ...]


def reached_code(root: FirstParty, module: ModuleFile, qualname: str) -> tuple[Reached, ...]:
    """Follow the names from the function at ``qualname``; modules in order of name, statements in that of the file.

    The options in the decorator that makes the function a view are none of its code.
    """
    parsed: dict[str, _Syntax] = {module.name: _Syntax.of(module)}
    start = parsed[module.name]
    name = qualname.partition(".")[0]
    start.undecorate(name)
    waiting = [(module.name, name if name in start.bindings else _EVERYTHING)]
    done: set[tuple[str, str]] = set()
    while waiting:
        dotted, wanted = waiting.pop()
        if (dotted, wanted) in done:
            continue
        done.add((dotted, wanted))
        if dotted not in parsed:
            found = root.locate(dotted)
            if found is None:
                continue
            parsed[dotted] = _Syntax.of(found)
        waiting.extend(parsed[dotted].take(wanted, root))
    return tuple(Reached(key, parsed[key].taken_syntax()) for key in sorted(parsed))


@dataclass(slots=True)
class _Syntax:
    """A module's top-level statements, and which of them are taken."""

    module: ModuleFile
    statements: list[ast.stmt]
    bindings: dict[str, list[int]]
    stars: list[int]
    taken: dict[int, set[str]] = field(default_factory=dict)
    """By statement: the imported names that are taken, empty for other statements."""

    @classmethod
    def of(cls, module: ModuleFile) -> _Syntax:
        source = module.path.read_bytes()
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            tree = ast.Module([ast.Expr(ast.Constant(source))], [])
        _drop_texts(tree)
        bindings: dict[str, list[int]] = {}
        stars = []
        for position, statement in enumerate(tree.body):
            for name in _bound(statement):
                bindings.setdefault(name, []).append(position)
            if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                stars.append(position)
        return cls(module, tree.body, bindings, stars)

    def undecorate(self, name: str) -> None:
        """Take away the decorator that makes the function a view."""
        for position in self.bindings.get(name, []):
            statement = self.statements[position]
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                statement.decorator_list = [item for item in statement.decorator_list if not _is_defining(item)]

    def take(self, wanted: str, root: FirstParty) -> Iterator[tuple[str, str]]:
        """Take the statements behind a name, and give what they lead to: pairs of module and name."""
        nameless = [position for position, statement in enumerate(self.statements) if not _is_plain(statement)]
        positions = (
            range(len(self.statements)) if wanted == _EVERYTHING else [*self.bindings.get(wanted, []), *nameless]
        )
        if wanted not in self.bindings:
            positions = [*positions, *self.stars]
        package = self.module.name.rpartition(".")[0]
        if package:
            yield package, ""
        for position in positions:
            statement = self.statements[position]
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield from self._take_import(position, statement, wanted, root)
            elif position not in self.taken:
                self.taken[position] = set()
                yield from self._leads(statement, root)

    def taken_syntax(self) -> tuple[str, ...]:
        found = []
        for position, names in sorted(self.taken.items()):
            statement = self.statements[position]
            found.append(f"import {sorted(names)}" if names else ast.dump(statement))
        return tuple(found)

    def _take_import(
        self, position: int, statement: ast.Import | ast.ImportFrom, wanted: str, root: FirstParty
    ) -> Iterator[tuple[str, str]]:
        for alias in statement.names:
            bound = alias.asname or alias.name.partition(".")[0]
            if wanted in (bound, _EVERYTHING) or alias.name == "*":
                shown = f"{self._base(statement)} {alias.name} {alias.asname or ''}"
                self.taken.setdefault(position, set()).add(shown)
                yield from self._targets(statement, alias, root)

    def _leads(self, statement: ast.stmt, root: FirstParty) -> Iterator[tuple[str, str]]:
        names = _global_names(statement)
        for name in names:
            yield self.module.name, name
        if names & _DYNAMIC:
            yield self.module.name, _EVERYTHING
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    yield from self._targets(node, alias, root)

    def _targets(
        self, statement: ast.Import | ast.ImportFrom, alias: ast.alias, root: FirstParty
    ) -> Iterator[tuple[str, str]]:
        if isinstance(statement, ast.Import):
            yield alias.name, _EVERYTHING
            return
        base = self._base(statement)
        if root.locate(f"{base}.{alias.name}") is not None:
            yield f"{base}.{alias.name}", _EVERYTHING
        else:
            yield base, alias.name

    def _base(self, statement: ast.Import | ast.ImportFrom) -> str:
        if isinstance(statement, ast.Import):
            return ""
        return self.module.absolute(statement)


def _drop_texts(tree: ast.Module) -> None:
    """Drop what never runs: docstrings and other bare texts, and blocks for type checkers."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [statement for statement in body if not _is_text(statement)]
            body[:] = kept if kept or isinstance(node, ast.Module) else [ast.Pass()]


def _is_text(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):
        return ast.unparse(statement.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") and not statement.orelse
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _bound(statement: ast.stmt) -> set[str]:
    """Name what a top-level statement binds, in its blocks too."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.partition(".")[0])
    return names


def _is_plain(statement: ast.stmt) -> bool:
    """Say whether a statement does nothing but bind its names."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return all(isinstance(node, ast.Name | ast.Tuple | ast.List) for node in targets)
    return isinstance(
        statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.AugAssign
    )


def _global_names(statement: ast.stmt) -> set[str]:
    """Name the globals that a statement refers to, as the interpreter's own scoping sees them."""
    table = symtable.symtable(ast.unparse(statement), "definition", "exec")
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        names |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
        waiting.extend(inner.get_children())
    return names


def _is_defining(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in _DEFINING
