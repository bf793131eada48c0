"""The `danet` command: parses, prints, exits; the numerics are below it."""
