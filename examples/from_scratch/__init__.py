"""A small model learns telecom from nothing: demonstrations, rejection fine-tuning, GRPO."""
