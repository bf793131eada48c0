"""Files that are read and replaced safely."""
