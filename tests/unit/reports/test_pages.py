"""The pages: self-contained, with plots, and the same content as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from featurestore.reports.comparison import Side, compare, measure_latency, write_comparison
from featurestore.reports.monitoring import Monitored, monitor, write_monitoring

RANDOM = np.random.default_rng(2)
SCORES = pa.array(RANDOM.random(500))
CITY = pa.array(["Ulm", "Bonn"] * 250)


def read(page: Path) -> tuple[str, Any]:
    html = page.read_text(encoding="utf-8")
    assert re.findall(r"(?:src|href)=\"(?!#)[^\"]*", html.replace('xlink:href="#', "")) == []
    return html, json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_comparison_shows_outputs_agreement_and_latency(tmp_path: Path) -> None:
    holed = pa.array([None if number < 10 else value + 0.01 for number, value in enumerate(SCORES.to_pylist())])
    inputs = {"x": np.arange(500.0)}
    latency = measure_latency(lambda given: {"score": given["x"] * 2}, inputs, sizes=(1, 100, 1000), seconds=0.01)
    assert [item.rows for item in latency] == [1, 100] and latency[0].calls >= 3
    old = Side(
        label="version 1", model="ctr 1", outputs={"score": SCORES, "city": CITY, "gone": SCORES}, latency=latency
    )
    new = Side(label="version 2", model="ctr 2", outputs={"score": holed, "city": CITY[::-1]}, note="was retrained")
    found = compare("churn", old, new, basis="as of today")
    html, content = read(write_comparison(found, old, new, tmp_path / "report.html"))
    assert html.count("<svg") == 4 and "Output score" in html and "Latency of the model" in html
    assert "only one version has the outputs gone" in html and "version 2: was retrained" in html
    score = content["outputs"][0]
    assert (score["agreement"]["pairs"], content["rows"], content["only_old"]) == (490, 500, 0)
    assert score["agreement"]["mean_difference"] == pytest.approx(0.01)
    assert content["latency"]["version 1"][1]["rows"] == 100
    assert content["outputs"][1]["agreement"]["equal"] == 0.0


def test_equal_data_give_equal_pages(tmp_path: Path) -> None:
    side = Side(label="a", model="m", outputs={"score": SCORES})
    other = Side(label="b", model="n", outputs={"score": SCORES})
    pages = [
        write_comparison(compare("v", side, other, basis="x"), side, other, tmp_path / f"{number}.html")
        for number in range(2)
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def monitored(**overrides: Any) -> Monitored:
    values: dict[str, Any] = {
        "view": "churn",
        "model": "ctr 1",
        "start": None,
        "end": None,
        "statuses": {"CACHED": 480, "LIVE": 20},
        "served": {"score": SCORES},
        "labelled": {"score": pa.array([*SCORES.to_pylist()[:300], *[None] * 20])},
        "labels": pa.array((RANDOM.random(320) < 0.5).astype(np.int64)),
        "features": {"rate": pa.array(RANDOM.normal(1, 1, 500)), "city": CITY, "new": SCORES},
        "reference": {"rate": pa.array(RANDOM.normal(0, 1, 500)), "city": CITY, "score": SCORES},
    }
    return Monitored(**(values | overrides))


def test_monitoring_shows_calibration_and_drift_against_training(tmp_path: Path) -> None:
    data = monitored()
    html, content = read(write_monitoring(monitor(data), data, tmp_path / "report.html"))
    assert (content["served"], content["labels"], content["unmatched"]) == (500, 320, 20)
    (score,) = content["outputs"]
    assert score["calibration"]["rows"] == 300 and score["drift"]["psi"] == 0
    assert set(content["features"]) == {"rate", "city"}
    assert "drifted" in html and "Brier score" in html and html.count("<svg") == 4


def test_without_labels_or_training_set_it_says_what_was_served(tmp_path: Path) -> None:
    data = monitored(labels=None, labelled={}, reference={}, served={"score": pa.array([2.0, 3.0]), "city": CITY[:2]})
    html, content = read(write_monitoring(monitor(data), data, tmp_path / "report.html"))
    assert "No labels to hold it against." in html and content["features"] == {}
    assert [output["calibration"] for output in content["outputs"]] == [None, None]
