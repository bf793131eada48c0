"""Seeded bugs, and how they are put into a package's source."""
