"""Comparison with the float64 reference: arrays, cases, checkpoints, and the likely cause of a mismatch."""
