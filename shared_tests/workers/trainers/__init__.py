"""What each framework's own process does in tests of training: one module for each, with the same functions."""
