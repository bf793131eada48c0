"""danet cost."""
