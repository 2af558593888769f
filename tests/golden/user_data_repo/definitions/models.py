"""A model for the golden manifest; it is never loaded."""

from __future__ import annotations


def load_ctr() -> object:
    return object()
