"""The float64 reference, the comparison with it, its fixtures and workers; and the tests, which are not shipped."""
