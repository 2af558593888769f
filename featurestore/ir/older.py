"""Definitions of view versions that are not the manifest's any more, but may still be served."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.ir.serialize import decode_node, encode_node

__all__ = ["older_from_json", "older_to_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Older:
    views: tuple[ViewNode, ...] = ()
    prediction_views: tuple[PredictionViewNode, ...] = ()


def older_to_json(nodes: Iterable[StoredViewNode]) -> str:
    """Write nodes in canonical JSON."""
    ordered = sorted(nodes, key=lambda node: (node.name, node.version))
    older = _Older(
        views=tuple(node for node in ordered if isinstance(node, ViewNode)),
        prediction_views=tuple(node for node in ordered if isinstance(node, PredictionViewNode)),
    )
    return json.dumps(encode_node(older), sort_keys=True, ensure_ascii=False)


def older_from_json(text: str) -> Mapping[tuple[str, int], StoredViewNode]:
    """Read nodes by (view name, version)."""
    older = decode_node(_Older, json.loads(text))
    nodes: tuple[StoredViewNode, ...] = (*older.views, *older.prediction_views)
    return {(node.name, node.version): node for node in nodes}
