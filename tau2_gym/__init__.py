"""tau2-bench as Gymnasium environments, with a reward at every step.

>>> import gymnasium as gym, tau2_gym
>>> env = gym.make("tau2/telecom-v0", task_split="train")
>>> observation, info = env.reset(seed=0)
"""

from tau2_gym.envs.registration import IDS, register_all
from tau2_gym.errors import ConfigError, DataError, Tau2GymError, UserFault
from tau2_gym.info import Info

__version__ = "0.1.0"

register_all()

__all__ = ["IDS", "ConfigError", "DataError", "Info", "Tau2GymError", "UserFault", "__version__"]
