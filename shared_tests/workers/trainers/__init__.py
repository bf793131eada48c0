"""Functions of the training tests in a framework's own process: one module for each, with the same functions."""
