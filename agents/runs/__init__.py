"""Runs: attempts at many tasks, played, kept and summed up, by whichever command line."""
