"""The `danet` command: parse, print, exit. It computes nothing."""
