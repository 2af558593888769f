"""The compiled contract: typed nodes, the manifest that holds them, and its canonical JSON."""
