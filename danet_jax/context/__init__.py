"""The modules that DANet's head may have in its branches, one file each."""
