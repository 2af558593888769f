"""User functions on arrays: resolve one, run it, and check what it gives."""
