"""The judges: a float64 reference, the rule for test weights, the comparison engine, goldens and the suites."""
