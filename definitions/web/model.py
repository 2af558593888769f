"""A small, fixed model of the next click: a logistic curve over three features."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

__all__ = ["ClickModel", "load"]


class ClickModel:
    """``predict`` takes the three features of ``user_data`` and gives ``score`` in 0..1."""

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import numpy as np

        rate = np.nan_to_num(np.asarray(inputs["click_through_rate"], dtype=np.float64))
        clicks = np.nan_to_num(np.asarray(inputs["number_of_clicks"], dtype=np.float64))
        seconds = np.nan_to_num(np.asarray(inputs["average_page_duration"], dtype=np.float64))
        return {"score": 1.0 / (1.0 + np.exp(-(4.0 * rate + 0.05 * np.log1p(clicks) + 0.01 * seconds - 2.0)))}


def load() -> ClickModel:
    return ClickModel()
