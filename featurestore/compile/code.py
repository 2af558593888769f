"""Digests of user code: a function and every first-party statement it reaches, whatever their formatting."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from featurestore.compile.modules import FirstParty, ModuleFile
from featurestore.compile.reach import reached_code
from featurestore.errors import StateError
from featurestore.ir.nodes import CodeRef

__all__ = ["code_digest", "code_ref", "verify_code"]


def code_ref(repo: Path, path: str) -> CodeRef:
    """Make the reference to the function at ``module:qualname``."""
    return CodeRef(path=path, digest=code_digest(repo, path))


def code_digest(repo: Path, path: str) -> str:
    """Hash the first-party code that the function at ``module:qualname`` reaches, in a folder or an archive.

    Comments, docstrings and layout do not count; third-party modules count by the names imported from them.
    """
    root = FirstParty.at(repo)
    module, _, qualname = path.partition(":")
    digest = hashlib.sha256()
    for part in reached_code(root, _module(root, module), qualname):
        digest.update("\0".join([part.module, *part.syntax, ""]).encode())
    return digest.hexdigest()[:32]


def verify_code(code: CodeRef, repo: Path) -> None:
    """Refuse with StateError when the code in ``repo`` (a folder or an archive) is not what was compiled."""
    found = code_digest(repo, code.path)
    if found != code.digest:
        raise StateError(
            f"the code of {code.path} is not the code that was applied: in {repo} its digest is {found}, the manifest "
            f"says {code.digest}. Run `featurestore apply`, or run the job with the manifest's definitions archive",
            code=code.path,
            found=found,
            expected=code.digest,
        )


def _module(root: FirstParty, name: str) -> ModuleFile:
    """Find the module under the root; of a module installed elsewhere its own file counts, and nothing it imports."""
    found = root.locate(name)
    if found is not None:
        return found
    spec = importlib.util.find_spec(name.partition(".")[0])
    folders = list(spec.submodule_search_locations or ()) if spec else []
    places = [Path(folder).parent for folder in folders] or ([Path(spec.origin).parent] if spec and spec.origin else [])
    for place in places:
        found = FirstParty(place).locate(name)
        if found is not None:
            return found
    raise StateError(f"module {name} is neither in {root.root} nor installed", module=name)
