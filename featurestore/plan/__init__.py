"""What would be done, as plain values: changes, missing steps, stages. No I/O; the clock is an argument."""
