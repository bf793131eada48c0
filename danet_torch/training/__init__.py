"""Training: losses, optimizers, processes and devices, one step, and the state of a run."""
