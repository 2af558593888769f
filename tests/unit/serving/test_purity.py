"""A first lookup in a fresh process loads no heavy package."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

from tests.support.serving import World, flags, scores, user_data

PROGRAM = """
import pickle, sys
from tests.support.serving import NOW, World, flags, recency, scores, user_data
world = World(user_data(), flags(), scores(), on_demand_views={"recency": recency()})
world.store.write_if_newer(pickle.loads(bytes.fromhex(sys.argv[1])))
features = ["user_data:click_through_rate", "model_predictions:score", "recency:seconds_since"]
print(world.client.get_online_features(features, [{"user_id": 1, "now": NOW}]).to_dict())
heavy = "pyspark pandas sqlalchemy airflow great_expectations delta deltalake featurestore.compile definitions".split()
print("loaded:", [name for name in heavy if name in sys.modules])
"""


def test_a_process_that_only_looks_up_loads_no_spark_pandas_or_airflow() -> None:
    view, predictions = user_data(), scores()
    world = World(view, flags(), predictions)
    world.put(view, 1, {"click_through_rate": 0.4})
    world.predict(predictions, 1, 0.93)
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, pickle.dumps(world.rows).hex()],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "{'user_id': [1], 'click_through_rate': [0.4], 'score': [0.93], 'seconds_since': [None]}",
        "loaded: []",
    ]
