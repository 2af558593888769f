"""What is measured of Feast, in its own environment and process."""
