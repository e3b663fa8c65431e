"""OpenRLHF's models and experience maker on a machine without a GPU.

OpenRLHF imports parts of flash-attn and vLLM at the head of modules that need them on a GPU only.
Where one of the two is not installed, an empty stand-in takes its place while such a module is
imported, and is taken away again. Whatever is called on a stand-in raises.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


@dataclass
class EngineSampling:
    """What OpenRLHF tells vLLM about sampling."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    max_tokens: int | None = None
    min_tokens: int = 1
    skip_special_tokens: bool = False
    logprobs: int | None = None


def _absent(package: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"this takes {package}, which is not installed")

    return call


def _flash_attn() -> dict[str, dict[str, Any]]:
    absent = _absent("flash-attn")
    padding = ("index_first_axis", "pad_input", "rearrange", "unpad_input")
    return {
        "flash_attn": {},
        "flash_attn.bert_padding": dict.fromkeys(padding, absent),
        "flash_attn.utils": {},
        "flash_attn.utils.distributed": {"all_gather": absent},
    }


def _vllm() -> dict[str, dict[str, Any]]:
    absent = _absent("vllm")
    return {
        "vllm": {"SamplingParams": EngineSampling, "__version__": "0"},
        "vllm.inputs": {"TokensPrompt": absent},
        "vllm.utils": {"random_uuid": absent},
    }


@contextmanager
def gpu_packages_optional() -> Iterator[None]:
    """Stand in for flash-attn and vLLM, if they are not installed, while OpenRLHF is imported."""
    modules: dict[str, dict[str, Any]] = {}
    for package, contents in (("flash_attn", _flash_attn()), ("vllm", _vllm())):
        if package not in sys.modules and find_spec(package) is None:
            modules |= contents
    for name, content in modules.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        vars(module).update(content)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
