"""The worlds: policy, tools, tasks and database of each domain."""

DOMAINS = ("airline", "retail", "telecom", "mock")
"""Names of the domains."""
