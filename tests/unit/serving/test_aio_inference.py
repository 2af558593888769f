"""Live inference inside an event loop: tasks that share a model call, are cancelled, and are logged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from featurestore.serving.aio import AsyncOnlineClient
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.served_files import ServedFiles
from featurestore.serving.served_log import ServedLog
from tests.support.counting_store import CountingStore
from tests.support.serving import NOW, PROJECT, World, scores, user_data
from tests.support.switchable import SwitchableModel
from tests.unit.serving.test_served_log import landed

SCORE = "model_predictions:score"


class Reader:
    def __init__(self, store: CountingStore) -> None:
        self._store = store

    async def read(self, keys: Sequence[bytes], *, deadline: float | None = None) -> list[bytes | None]:
        return self._store.read(keys, deadline=deadline)

    async def close(self) -> None:
        """Have nothing to close."""


def opened(model: SwitchableModel, log: ServedLog | None = None) -> AsyncOnlineClient:
    features = user_data()
    world = World(features, scores())
    world.point("model_predictions", covered_until_us=None)
    world.put(features, 1, {"click_through_rate": 0.25}, event=NOW)
    return AsyncOnlineClient(
        Reader(world.store),
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest),
        clock=world.clock,
        predictor=model,
        log=log,
    )


async def ask(client: AsyncOnlineClient, deadline: float = 5.0) -> tuple[object, str]:
    answer = await client.get_online_features([SCORE], [{"user_id": 1}], deadline=deadline)
    return answer["score"][0], str(answer.predictions["model_predictions"][0].status)


def test_a_cancelled_task_leaves_its_model_call_to_the_others() -> None:
    model = SwitchableModel()
    model.gate.clear()

    async def run() -> None:
        client = opened(model)
        cancelled = asyncio.create_task(ask(client))
        assert await asyncio.to_thread(model.entered.acquire, timeout=5)
        others = [asyncio.create_task(ask(client)) for _ in range(8)]
        await asyncio.sleep(0.02)
        cancelled.cancel()
        late = await ask(client, deadline=0.05)
        assert late == (None, "FAILED")
        model.gate.set()
        for other in others:
            score, status = await other
            assert score == 2.5 and status in ("LIVE", "CACHED")
        assert await ask(client) == (2.5, "CACHED")
        assert cancelled.cancelled()
        await client.close()

    asyncio.run(run())
    assert len(model.calls) == 1


def test_what_was_served_is_logged_when_the_client_is_closed(tmp_path: Path) -> None:
    async def run() -> None:
        client = opened(SwitchableModel(), ServedLog(ServedFiles(str(tmp_path), tmp_path / "spool"), seconds=60))
        await asyncio.gather(*(ask(client) for _ in range(20)))
        await client.close()

    asyncio.run(run())
    assert [row["score"] for row in landed(tmp_path)] == [2.5] * 20
