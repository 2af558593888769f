"""What a fresh process loads before its first answer: a small set, named here."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.codec.keys import manifest_key
from featurestore.ir.serialize import manifest_to_json
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.online import running_redis
from tests.support.serving import PROJECT, World, flags, scores, user_data

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
before = {name.partition(".")[0] for name in sys.modules}
from featurestore import FeatureStore
config = {"project": "shop", "online_store": {"type": "redis", "connection_string": sys.argv[1]}}
with FeatureStore(sys.argv[2], config) as store:
    features = ["user_data:click_through_rate", "flags:city", "flags:tags", "model_predictions:score"]
    print(store.get_online_features(features, [{"user_id": 1}]).to_dict())
standard = sys.stdlib_module_names
print(sorted({name.partition(".")[0] for name in sys.modules} - set(standard) - before))
print([name for name in ("asyncio", "multiprocessing", "sqlite3", "unittest", "zipfile") if name in sys.modules])
"""


@pytest.mark.redis
def test_a_first_lookup_loads_numpy_hiredis_and_the_package(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_redis(Path(tmp_path_factory.mktemp("r"))) as url:
        store = RedisOnlineStore.connect(url)
        view, other, predictions = user_data(), flags(ttl=None), scores(on_stale="serve_stale")
        world = World(view, other, predictions, store=CountingStore(store))
        world.put(view, 1, {"click_through_rate": 0.4})
        world.put(other, 1, {"city": "Rome", "tags": ["a", None]})
        world.predict(predictions, 1, 0.93)
        store.put_record(manifest_key(PROJECT), manifest_to_json(replace(world.manifest, generation=1)).encode())
        store.close()
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}",
                url,
                str(tmp_path),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ},
        )
    assert done.returncode == 0, done.stderr
    answer, packages, standard = done.stdout.splitlines()
    assert answer == (
        "{'user_id': [1], 'click_through_rate': [0.4], 'city': ['Rome'], 'tags': [['a', None]], 'score': [0.93]}"
    )
    assert packages == "['featurestore', 'hiredis', 'numpy']"
    assert standard == "[]"
