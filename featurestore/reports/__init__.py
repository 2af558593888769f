"""Reports on predictions: two versions compared, and one watched against its training data and its labels."""
