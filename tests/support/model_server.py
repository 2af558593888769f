"""A real model server for tests: the Open Inference Protocol over HTTP, in a process of its own.

What a model does is in its name: ``right`` scores the click-through rate times ten, the others do something wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

__all__ = ["ModelServer", "free_port", "running_model_server"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelServer:
    """A server under way; ``kill`` ends it at once."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def calls(self) -> list[dict[str, Any]]:
        """Give every request: model, version, connection and body."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/calls", trust_env=False).json()
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running_model_server(port: int | None = None) -> Iterator[ModelServer]:
    """Run a server and give it when it is ready."""
    port = port or free_port()
    command = [sys.executable, "-m", "tests.support.model_server", "--port", str(port)]
    server = ModelServer(port=port, process=subprocess.Popen(command, cwd=ROOT))
    try:
        _wait_ready(server)
        yield server
    finally:
        server.kill()


def _wait_ready(server: ModelServer) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        assert server.process.poll() is None, "the model server ended"
        try:
            if httpx.get(f"{server.url}/v2/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the model server is not ready")


def make_app() -> FastAPI:
    """Make the service."""
    app = FastAPI()
    calls: list[dict[str, Any]] = []

    @app.get("/v2/health/ready")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.get("/calls")
    def told() -> list[dict[str, Any]]:
        return calls

    @app.post("/v2/models/{name}/versions/{version}/infer")
    async def infer(name: str, version: str, request: Request) -> Response:
        body = await request.json()
        client = request.client
        calls.append({"name": name, "version": version, "from": client.port if client else 0, "body": body})
        first = next(tensor for tensor in body["inputs"] if tensor["name"] == "click_through_rate")
        scores = [None if value is None else value * 10 for value in first["data"]]
        output = {"name": "score", "datatype": "FP64", "shape": [len(scores), 1], "data": scores}
        answer = {"model_name": name, "model_version": version, "outputs": [output]}
        match name:
            case "slow":
                await asyncio.sleep(0.7)
            case "broken":
                return JSONResponse({"error": "the GPU is on fire"}, status_code=500)
            case "short":
                output |= {"data": scores[:-1], "shape": [len(scores) - 1]}
            case "lying":
                output |= {"shape": [len(scores), 2]}
            case "nan":
                output |= {"data": [None] * len(scores)}
            case "text":
                output |= {"data": ["high"] * len(scores)}
            case "other_version":
                answer |= {"model_version": "999"}
            case "unnamed":
                output |= {"name": "predict", "datatype": "FP32", "data": [[score] for score in scores]}
            case "html":
                return Response("<html>It works!</html>", media_type="text/html")
            case "dribbling":

                async def drip() -> Any:
                    for _ in range(50):
                        yield b" "
                        await asyncio.sleep(0.1)

                return StreamingResponse(drip())
            case _:
                pass
        return JSONResponse(answer)

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    os.environ.pop("WEB_CONCURRENCY", None)
    uvicorn.run(make_app(), host="127.0.0.1", port=options.port, log_level="error")


if __name__ == "__main__":
    main()
