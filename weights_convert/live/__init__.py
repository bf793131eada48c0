"""Load checkpoints into live networks, one file for each framework. A call imports its framework."""
