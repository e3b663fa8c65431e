"""Training on GPUs with OpenRLHF, on one or many: its arguments, its trainer with our episodes, and starting it."""
