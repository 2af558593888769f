"""Keep up the offline tables: spark-submit --properties-file spark_conf/local.conf jobs/optimize.py"""

from __future__ import annotations

import sys
from functools import partial

from featurestore.runtime.jobs import optimize_job, run_job

if __name__ == "__main__":
    sys.exit(run_job(optimize_job, sys.argv[1:], emit=partial(print, flush=True)))
