"""Four ways from features to a prediction, and two ways to lay out client, lookup and model; on the flights example.

They run in the repo after ``make demo``, while ``featurestore up`` keeps Redis running.
"""
