"""Gymnasium environments: thin drivers over `tau2_gym.episode.Episode`."""
