"""The gate: a view's expectations, checked by Great Expectations before rows are committed."""
