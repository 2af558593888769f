"""Reconciliation: after a publication the online store holds what was sent, and still what was sent before."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import ReconciliationFailed
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.senders import Pairs

__all__ = ["reconcile", "reconcile_sample", "without_keys"]


def reconcile(view: StoredViewNode, pairs: Pairs) -> int:
    """Compare every sent pair with the store; give how many were compared.

    ReconciliationFailed says how many keys are wrong, and what was found for the first of them.
    """
    checked, wrong, sample = pairs.compare()
    if wrong:
        raise _failed(
            view,
            f"{wrong} keys of {checked} do not hold in the online store what was published",
            "Publish again; if it fails again, look at who else writes there, and at the store's maxmemory-policy",
            wrong,
            sample,
        )
    return checked


def reconcile_sample(view: StoredViewNode, pairs: Pairs) -> int:
    """Compare rows of earlier publications with the store: each is there, or something newer.

    Which rows of a key are sampled does not matter: also for a superseded row something newer must stand.
    """
    checked, wrong, sample = pairs.compare()
    if wrong:
        raise _failed(
            view,
            f"{wrong} of {checked} sampled keys lost in the online store what an earlier publication sent",
            "The next publication sends every row anew; look at who else writes there, and at the store's "
            "maxmemory-policy",
            wrong,
            sample,
        )
    return checked


def without_keys(batch: pa.RecordBatch, sent: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Leave out pairs whose keys were sent just now, and rows without a key."""
    keys = pa.concat_arrays([part["key"] for part in sent]) if sent else pa.array([], pa.binary())
    known = pc.is_in(batch["key"], value_set=keys)
    return batch.filter(pc.and_(pc.invert(known), pc.is_valid(batch["key"])))


def _failed(view: StoredViewNode, found: str, advice: str, wrong: int, sample: list[str]) -> ReconciliationFailed:
    return ReconciliationFailed(
        f"{view.name} v{view.version}: {found}: {'; '.join(sample)}. {advice}",
        view=view.name,
        version=view.version,
        wrong=wrong,
        sample=sample,
    )
