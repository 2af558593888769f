"""What the features describe."""

from __future__ import annotations

from featurestore import Entity
from featurestore.types import String

carrier = Entity(name="carrier", join_keys=["carrier"], dtypes=[String], description="Two-letter airline code")
airport = Entity(name="airport", join_keys=["origin"], dtypes=[String], description="Airport of departure")
aircraft = Entity(name="aircraft", join_keys=["tailnum"], dtypes=[String], description="Aircraft by tail number")
route = Entity(name="route", join_keys=["origin", "dest"], dtypes=[String, String], description="From where to where")
