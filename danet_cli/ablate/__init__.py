"""danet ablate."""
