"""OpenRLHF: its command lines on GPUs, its trainers with our episodes, and its classes without GPUs."""
