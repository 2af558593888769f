"""The oracle: what every engine must compute, written as naively as it can be said, in plain Python."""
