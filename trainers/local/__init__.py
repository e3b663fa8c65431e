"""Training in one process: OpenRLHF's models and losses without Ray, DeepSpeed and vLLM."""
