"""Programs of the device tests. Each runs in a process of its own and prints what it found as one line of JSON."""
