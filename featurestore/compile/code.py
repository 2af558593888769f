"""Digests of user code: a function's module and every first-party module it reaches, whatever their formatting."""

from __future__ import annotations

import ast
import hashlib
import sys
import zipfile
from pathlib import Path

from featurestore.compile.modules import FirstParty, ModuleFile
from featurestore.errors import StateError
from featurestore.ir.nodes import CodeRef

__all__ = ["code_digest", "code_ref", "file_digest", "normalised_source", "verify_code"]

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_ref(repo: Path, path: str) -> CodeRef:
    """Make the reference to the function at ``module:qualname``."""
    return CodeRef(path=path, digest=code_digest(repo, path.partition(":")[0]))


def code_digest(repo: Path, module: str) -> str:
    """Hash the module and the first-party modules it reaches; comments, docstrings and layout do not count.

    Third-party modules count by their name in the import statements only.
    """
    digest = hashlib.sha256()
    for found in _files(repo, module):
        digest.update(f"{found.name}\0".encode())
        digest.update(normalised_source(found.path).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def verify_code(code: CodeRef, repo: Path) -> None:
    """Refuse with StateError when the code in ``repo`` (a folder or an archive) is not what was compiled."""
    found = code_digest(repo, code.path.partition(":")[0])
    if found != code.digest:
        raise StateError(
            f"the code of {code.path} is not the code that was applied: under {repo} its digest is {found}, the manifest "
            f"says {code.digest}. Run `featurestore apply`, or run the job with the definitions archive of the manifest",
            code=code.path,
            found=found,
            expected=code.digest,
        )


def normalised_source(path: Path | zipfile.Path) -> str:
    """Give the module's syntax tree as text, without docstrings; a file that does not parse stands for itself."""
    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source.decode("utf-8", "replace")
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


def file_digest(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(repo: Path, module: str) -> tuple[ModuleFile, ...]:
    reached = FirstParty.at(repo).reached_from(module)
    if any(found.name == module for found in reached):
        return reached
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is None or not Path(loaded).is_file():
        raise StateError(f"module {module} is neither under {repo} nor loaded from a file", module=module)
    return (ModuleFile(name=module, path=Path(loaded), is_package=Path(loaded).name == "__init__.py"),)
