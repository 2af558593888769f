"""How a property is tested where an example takes Spark half a minute: one batch of many cases, and no shrinking."""

from __future__ import annotations

from hypothesis import Phase, settings

__all__ = ["ONE_BATCH"]

ONE_BATCH = settings(max_examples=1, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""A failing example is printed whole, with the decorator that replays it; the next local run begins with it."""
