"""danet train."""
