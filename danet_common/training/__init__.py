"""A training run: the loop that drives any of the three frameworks, and the folder of its files.

NumPy only; matplotlib and tensorboard, which draw and record a run, are imported when they are needed.
"""
