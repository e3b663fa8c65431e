"""Training on the environments: demonstrations, rejection fine-tuning and GRPO, on OpenRLHF."""
