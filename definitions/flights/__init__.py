"""Delays of flights from New York: features by carrier, airport, aircraft and connection, and a prediction."""
