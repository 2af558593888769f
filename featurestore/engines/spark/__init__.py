"""The Spark engine: sources, transformations, tiles and windows, as plain DataFrames."""
