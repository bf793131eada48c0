"""Numbers that the three packages compute alike, in NumPy."""
