"""danet eval."""
