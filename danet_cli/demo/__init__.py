"""danet demo."""
