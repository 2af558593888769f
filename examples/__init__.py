"""Programs that use a feature store; each runs by itself: ``python -m examples.inference.cached``."""
