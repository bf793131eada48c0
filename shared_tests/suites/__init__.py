"""The tests, by what they test."""
