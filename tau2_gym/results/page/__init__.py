"""The page on which runs are looked at: its numbers, its plots, its conversations, and itself."""
