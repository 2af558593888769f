"""What persists: Delta, the ledger and registry, Redis. Stores never compute."""
