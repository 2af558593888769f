"""Permissions: which roles may do what with which objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Permission", "RoleBasedPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleBasedPolicy:
    """Grant when the caller has one of ``roles``."""

    roles: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Allow ``actions`` on the objects of ``types`` whose names match one of ``name_patterns`` whole."""

    name: str
    types: Sequence[type]
    policy: RoleBasedPolicy
    actions: Sequence[str]
    name_patterns: Sequence[str] = (".*",)
