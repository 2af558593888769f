"""Inference-centric: the client asks an inference service; that one looks up what it needs, and answers.

python -m examples.inference.inference_centric
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from examples.inference.servers import inference_service, serving
from featurestore import FeatureStore

__all__ = ["ask"]

FLIGHT = {"carrier": "UA", "origin": "EWR", "dest": "ORD"}


def ask(service_url: str, flights: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ask for flights by their keys alone: the client knows neither features nor model."""
    response = httpx.post(f"{service_url}/late-arrival", json=list(flights))
    return response.raise_for_status().json()


def main() -> None:
    with FeatureStore(".") as store, serving(inference_service(store)) as url:
        for asked in ("first", "again"):
            print(asked, ask(url, [FLIGHT]))


if __name__ == "__main__":
    main()
