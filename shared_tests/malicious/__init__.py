"""Files that were made to do harm, or are broken, built by code: each must end in one clear error and nothing else."""
