"""Tests of agents/backends."""
