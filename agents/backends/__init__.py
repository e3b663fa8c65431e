"""Places where tokens are generated: an SGLang server, or a model in this process."""

from agents.backends.base import ContextOverflow, Generation, GenerationBackend

__all__ = ["ContextOverflow", "Generation", "GenerationBackend"]
