"""The services of the two layouts: a model server that knows no features, an inference service that looks them up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI

from definitions.flights.model import load
from featurestore import FeatureStore

__all__ = ["inference_service", "model_server", "serving"]


def model_server() -> FastAPI:
    """Serve the late-arrival model by the open inference protocol (KServe v2): tensors in, tensors out."""
    app, model = FastAPI(), load()

    @app.post("/v2/models/late_arrival/infer")
    def infer(request: dict[str, Any]) -> dict[str, Any]:
        inputs = {
            tensor["name"]: np.array([np.nan if value is None else value for value in tensor["data"]])
            for tensor in request["inputs"]
        }
        outputs = model.predict(inputs).items()
        return {
            "model_name": "late_arrival",
            "outputs": [
                {"name": name, "shape": list(values.shape), "datatype": "FP64", "data": values.tolist()}
                for name, values in outputs
            ],
        }

    return app


def inference_service(store: FeatureStore) -> FastAPI:
    """Serve flights' probabilities: the service looks features and cached predictions up, and the model runs in it."""
    app = FastAPI()

    @app.post("/late-arrival")
    def late_arrival(flights: list[dict[str, str]]) -> list[dict[str, Any]]:
        answer = store.get_online_features(["late_arrival:probability_late"], flights)
        probabilities = answer.to_dict()["probability_late"]
        return [
            {"probability_late": probability, "status": str(said.status), "model_version": said.model_version}
            for probability, said in zip(probabilities, answer.predictions["late_arrival"], strict=True)
        ]

    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Run a service in this process on a free port, and give its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the service did not start; its log says why")
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
