"""The only place with effects and retries: it composes engines, stores, codec and gate into runs."""
