"""Mutated files for every reader: how they are made from seeds, and the processes that read them."""
