"""Reconciliation: after a publication the online store holds what was sent, or something newer."""

from __future__ import annotations

from featurestore.errors import ReconciliationFailed
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.senders import Pairs

__all__ = ["reconcile"]


def reconcile(view: StoredViewNode, pairs: Pairs) -> int:
    """Compare every sent pair with the store; give how many were compared.

    ReconciliationFailed says how many keys are wrong, and what was found for the first of them.
    """
    checked, wrong, sample = pairs.compare()
    if wrong:
        raise ReconciliationFailed(
            f"{view.name} v{view.version}: {wrong} keys of {checked} do not hold in the online store what was "
            f"published: {'; '.join(sample)}. Publish again; if it fails again, look at who else writes there, and at "
            "the store's maxmemory-policy",
            view=view.name,
            version=view.version,
            wrong=wrong,
            sample=sample,
        )
    return checked
