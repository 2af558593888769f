"""Clicks of website users: the example of the documentation, with events made to any size."""
