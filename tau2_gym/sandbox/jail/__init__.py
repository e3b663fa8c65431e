"""Somewhere to run code that a model wrote."""
