"""What `--train.agent_func_path` of OpenRLHF points to."""

from trainers.rollout.executor import EpisodeExecutor as AgentExecutor

__all__ = ["AgentExecutor"]
