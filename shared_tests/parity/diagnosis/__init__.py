"""From a mismatch to its likely cause, by trying known mistakes on the expected arrays."""
