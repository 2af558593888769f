"""Score prediction views: spark-submit --properties-file spark_conf/local.conf jobs/predict.py --start … --end …"""

from __future__ import annotations

import sys
from functools import partial

from featurestore.runtime.jobs import predict_job, run_job

if __name__ == "__main__":
    sys.exit(run_job(predict_job, sys.argv[1:], emit=partial(print, flush=True)))
