"""Two worked domains: ``flights`` (real data, the demo) and ``web`` (the documentation's example, at any size)."""
