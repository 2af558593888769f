"""Publish views to the online store: spark-submit --properties-file spark_conf/local.conf jobs/publish.py"""

from __future__ import annotations

import sys
from functools import partial

from featurestore.runtime.jobs import publish_job, run_job

if __name__ == "__main__":
    sys.exit(run_job(publish_job, sys.argv[1:], emit=partial(print, flush=True)))
