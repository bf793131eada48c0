"""danet check."""
