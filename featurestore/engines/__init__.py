"""Engines compute rows; they never write. ``base`` says what one is."""
