"""Find the sets of weights in a file, and choose one."""
