"""NumPy computations that the three packages share."""
