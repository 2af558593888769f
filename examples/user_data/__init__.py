"""The four ways to a prediction on ``user_data``, as programs for Feast write them; see ``run``."""
