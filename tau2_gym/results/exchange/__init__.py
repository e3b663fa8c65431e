"""Results in the forms of others: tau2-bench's files in and out, its leaderboard, inspect_ai, datasets."""
