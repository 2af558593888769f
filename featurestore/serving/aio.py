"""The lookup inside an event loop: reads never block it, models run in threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property
from typing import Unpack, assert_never

from featurestore.errors import FeatureStoreError
from featurestore.retrieval.refs import Features
from featurestore.serving.assembly import LookupOptions, assemble
from featurestore.serving.core import Block, LookupRequest, Read
from featurestore.serving.deadline import as_duration, ends_after, left_until
from featurestore.serving.entity_rows import EntityRows
from featurestore.serving.response import OnlineResponse
from featurestore.stores.base import AsyncOnlineReader, OnlineStore

__all__ = ["AsyncOnlineClient"]

_MODEL_THREADS = 32


class AsyncOnlineClient:
    """Reads features and predictions of one project for the tasks of one event loop.

    ``reader`` makes the reads. ``store`` is what inference writes to: it opens a connection only when a prediction is
    made, from a thread. ``deadline`` is the default for a call; ``assembly.LookupOptions`` says what the others are.
    """

    def __init__(
        self,
        reader: AsyncOnlineReader,
        store: OnlineStore,
        project: str,
        *,
        deadline: timedelta | float | None = None,
        **options: Unpack[LookupOptions],
    ) -> None:
        self._reader = reader
        self._store = store
        self._deadline = deadline
        self._core, self._inference = assemble(store, project, options)

    async def get_online_features(
        self,
        features: Features,
        entity_rows: EntityRows,
        *,
        full_feature_names: bool = False,
        deadline: timedelta | float | None = None,
        max_cached_age: timedelta | float | None = None,
        repair: bool = True,
    ) -> OnlineResponse:
        """Look up features and predictions as ``OnlineClient.get_online_features`` does.

        A task that is cancelled while a model runs leaves it running: what it gives is written back all the same.
        """
        ends = ends_after(self._deadline if deadline is None else deadline)
        lookup = self._core.lookup(
            LookupRequest(
                features=features,
                entity_rows=entity_rows,
                full_feature_names=full_feature_names,
                repair=repair,
                ends=ends,
                max_cached_age=as_duration(max_cached_age),
            )
        )
        result: list[bytes | None] | None = None
        try:
            while True:
                step = lookup.send(result)
                match step:
                    case Read():
                        result = await self._reader.read(step.keys, deadline=left_until(ends))
                    case Block():
                        await asyncio.get_running_loop().run_in_executor(self._threads, step.call)
                        result = None
                    case _:
                        assert_never(step)
        except StopIteration as done:
            response: OnlineResponse = done.value
            return response
        except FeatureStoreError as error:
            lookup.throw(error)  # to tell whoever observes it; it comes back out
            raise

    async def close(self) -> None:
        """Let models that run end, for a moment, without blocking the loop, and close the connections."""
        threads = self.__dict__.pop("_threads", None)
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(self._inference.close)
        await self._reader.close()
        self._store.close()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_MODEL_THREADS, thread_name_prefix="featurestore-model")
