"""danet predict."""
