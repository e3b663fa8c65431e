"""From attempts to rows that a model is fine-tuned on."""
