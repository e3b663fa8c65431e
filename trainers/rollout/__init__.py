"""Playing training episodes: which task comes next, who plays it, and how an episode is handed back."""
