"""What a prediction view reads: the stored rows that its ``inputs_digest`` covers, and the names of its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import FeatureRef, OnlineViewNode, PredictionViewNode

__all__ = ["InputRow", "argument_names", "input_rows", "key_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRow:
    """One row per entity: of ``view``, found by the columns of ``join_key_map`` instead of the view's own keys."""

    view: str
    join_key_map: tuple[tuple[str, str], ...]


def input_rows(manifest: Manifest, view: PredictionViewNode) -> tuple[InputRow, ...]:
    """List the stored rows behind the view's inputs, each once, in the order of its inputs.

    The digest over their headers (``codec.digest``) takes them in this order, in batch scoring and in lookups.
    """
    refs = manifest.stored_inputs(view.inputs)
    return tuple(dict.fromkeys(InputRow(view=ref.view, join_key_map=ref.join_key_map) for ref in refs))


def key_columns(view: OnlineViewNode, join_key_map: tuple[tuple[str, str], ...] = ()) -> tuple[str, ...]:
    """Name the request or spine columns that carry the view's join keys, in the order of the keys."""
    renamed = dict(join_key_map)
    return tuple(renamed.get(field.name, field.name) for field in view.join_keys)


def argument_names(refs: tuple[FeatureRef, ...]) -> dict[str, FeatureRef]:
    """Name inputs as functions and models see them: the feature, with its view in front where two share the name."""
    counts: dict[str, int] = {}
    for ref in refs:
        counts[ref.feature] = counts.get(ref.feature, 0) + 1
    return {ref.feature if counts[ref.feature] == 1 else f"{ref.alias}__{ref.feature}": ref for ref in refs}
