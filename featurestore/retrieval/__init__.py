"""From feature references to rows to read and values to compute: the same for lookups and for training sets."""
