"""Runnable comparisons with rivals, on one machine, one Redis and the same data (``benchmarks/README.md``)."""
