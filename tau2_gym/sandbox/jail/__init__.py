"""Somewhere to run code that a model wrote. Needs nothing but the standard library."""
