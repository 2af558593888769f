"""The lookup of threads: one round trip from entity rows to features and predictions."""

from __future__ import annotations

from datetime import timedelta
from typing import Unpack, assert_never

from featurestore.errors import FeatureStoreError
from featurestore.ir.nodes import PredictionViewNode
from featurestore.retrieval.refs import Features
from featurestore.serving.assembly import LookupOptions, assemble
from featurestore.serving.core import Block, LookupRequest, Read
from featurestore.serving.deadline import as_duration, ends_after, left_until
from featurestore.serving.entity_rows import EntityRows
from featurestore.serving.predictions import PredictionAnswer
from featurestore.serving.response import OnlineResponse
from featurestore.stores.base import OnlineStore

__all__ = ["OnlineClient"]


class OnlineClient:
    """Reads features and predictions of one project; threads may share it.

    ``deadline`` is the default for a call; ``assembly.LookupOptions`` says what the others are.
    """

    def __init__(
        self,
        store: OnlineStore,
        project: str,
        *,
        deadline: timedelta | float | None = None,
        **options: Unpack[LookupOptions],
    ) -> None:
        self._store = store
        self._deadline = deadline
        self._core, self._inference = assemble(store, project, options)

    def get_online_features(
        self,
        features: Features,
        entity_rows: EntityRows,
        *,
        full_feature_names: bool = False,
        deadline: timedelta | float | None = None,
        max_cached_age: timedelta | float | None = None,
        repair: bool = True,
    ) -> OnlineResponse:
        """Look up features and predictions for each entity row, in its order; duplicates are fine.

        ``features`` are references (``view:feature``, ``view@2:feature``), a service, or a service's name.
        ``deadline`` bounds the call in seconds. What this process read at most ``max_cached_age`` ago is not read again
        (0: all is; default: as ``cache`` says). Predictions that their view wants inferred are made and written back
        unless ``repair`` is False: then stale ones are served as such.
        """
        ends = ends_after(self._deadline if deadline is None else deadline)
        return self._answer(
            LookupRequest(
                features=features,
                entity_rows=entity_rows,
                full_feature_names=full_feature_names,
                repair=repair,
                ends=ends,
                max_cached_age=as_duration(max_cached_age),
            )
        )

    def infer_rows(
        self, view: PredictionViewNode, entity_rows: EntityRows, *, deadline: timedelta | float | None = None
    ) -> list[PredictionAnswer]:
        """Make and store the predictions of these entities that are not fresh, whatever the view's policies.

        LIVE says made, CACHED that it was fresh, MISSING that there are no inputs, FAILED that the model failed or the
        deadline passed.
        """
        ends = ends_after(self._deadline if deadline is None else deadline)
        features = [f"{view.name}:{feature.name}" for feature in view.features]
        return self._answer(
            LookupRequest(
                features=features,
                entity_rows=entity_rows,
                full_feature_names=True,
                anew=True,
                ends=ends,
                max_cached_age=timedelta(0),
            )
        ).predictions[view.name]

    def _answer(self, request: LookupRequest) -> OnlineResponse:
        lookup = self._core.lookup(request)
        result: list[bytes | None] | None = None
        try:
            while True:
                step = lookup.send(result)
                match step:
                    case Read():
                        result = self._store.read(step.keys, deadline=left_until(request.ends))
                    case Block():
                        step.call()
                        result = None
                    case _:
                        assert_never(step)
        except StopIteration as done:
            response: OnlineResponse = done.value
            return response
        except FeatureStoreError as error:
            lookup.throw(error)  # to tell whoever observes it; it comes back out
            raise

    def close(self) -> None:
        """Let models that run end, for a moment, and close the store's connections."""
        try:
            self._inference.close()
        finally:
            self._store.close()
