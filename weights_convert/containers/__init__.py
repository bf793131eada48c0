"""Bytes to arrays and back: zip, pickle, HDF5, msgpack and Orbax trees. No module here knows a DANet."""
