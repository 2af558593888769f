"""The lookup SDK: features and cached predictions from the online store."""
