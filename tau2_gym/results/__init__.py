"""Results of runs: what is in them, what they amount to, and reading them."""
