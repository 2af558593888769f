"""A home for Airflow outside the user's own, set before anything imports it; no test here needs a database."""

from __future__ import annotations

import os
import tempfile

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="featurestore-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
