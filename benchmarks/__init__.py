"""Command lines that evaluate agents, check conformance and measure speed."""
