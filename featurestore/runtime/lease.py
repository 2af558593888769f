"""A claim while its run works: the lease kept alive, and the claim given back when the run fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from featurestore.errors import FeatureStoreError, GateRefused, InputNotReady, IntervalBusy
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.results import describe_error
from featurestore.stores.base import Claim

__all__ = ["LEASE", "held_lease", "recorded_failure"]

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)


@contextmanager
def held_lease(context: RuntimeContext, claim: Claim) -> Iterator[Callable[[], None]]:
    """Keep the lease alive from a thread until the block ends; the given check raises when it was lost."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(LEASE.total_seconds() / 4):
            try:
                context.ledger.heartbeat(claim, now=context.clock(), lease=LEASE)
            except IntervalBusy:
                return
            except FeatureStoreError as error:
                logger.warning("%s %s: no heartbeat, tried again: %s", claim.view, claim.interval, error)

    def check() -> None:
        context.ledger.heartbeat(claim, now=context.clock(), lease=LEASE)

    thread = threading.Thread(target=beat, name=f"lease {claim.run_id}", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()


@contextmanager
def recorded_failure(context: RuntimeContext, claim: Claim, steps: int) -> Iterator[None]:
    """Give the claim back with the reason when the block fails."""
    try:
        yield
    except IntervalBusy:
        raise
    except (GateRefused, InputNotReady) as error:
        if steps > 1:
            context.ledger.withdraw(claim, now=context.clock())
            context.offline.drop_staging(claim.run_id, context.manifest.stored_view(claim.view))
        elif isinstance(error, GateRefused):
            context.ledger.refuse(claim, describe_error(error), now=context.clock())
        else:
            context.ledger.fail(claim, describe_error(error), now=context.clock())
        raise
    except BaseException as error:  # an interruption too: the next run need not wait for the lease
        context.ledger.fail(claim, describe_error(error), now=context.clock())
        raise
