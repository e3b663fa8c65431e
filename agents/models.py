"""Agents, users and judges that are language models, from plain options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from agents.base import AsyncAgent
from agents.checkpoints import find_model
from agents.sampling import SamplingParams
from tau2_gym.completion.servers import OUTAGE, STARTUP
from tau2_gym.errors import ConfigError, one_of

if TYPE_CHECKING:
    from agents.backends.base import GenerationBackend
    from tau2_gym.cassette import Cassette
    from tau2_gym.completion import ChatModel

MODEL_AGENTS = ("sglang", "transformers", "litellm")
"""Agents that need a model."""


@dataclass(frozen=True)
class AgentModel:
    """The model that an agent is, and how it is reached and sampled.

    Attributes:
        name: the model: a name on the Hugging Face hub, a folder, or that of a training run; for
            `litellm` with its provider.
        urls: SGLang servers, or the one OpenAI-compatible server that `litellm` is to call.
        prompt: `official`, `compact` or `bare`.
        thinking: whether a model that can think does so; None leaves it to its template.
        sampling: how turns are sampled.
        startup, outage: seconds to wait for a server that is starting, and for one that is down.
        send_seed: whether requests hold the seed of their turn.
    """

    name: str
    urls: tuple[str, ...] = field(default=(), repr=False)
    prompt: str = "official"
    thinking: bool | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    startup: float = STARTUP
    outage: float = OUTAGE
    send_seed: bool = True

    def identity(self) -> dict[str, Any]:
        """What results depend on: all but where the servers are and how long to wait for them."""
        how = ("urls", "startup", "outage")
        return {name: value for name, value in asdict(self).items() if name not in how}


@dataclass(frozen=True)
class UserModel:
    """How a user that is a model is reached and sampled; its name says which model it is.

    Attributes:
        temperature: of its answers.
        startup, outage: seconds to wait for the server while it starts, and while it is down.
        send_seed: whether requests hold a seed.
    """

    temperature: float = 0.0
    startup: float = STARTUP
    outage: float = OUTAGE
    send_seed: bool = True

    def identity(self) -> dict[str, Any]:
        """What results depend on: all but how long to wait for the server."""
        return {"temperature": self.temperature, "send_seed": self.send_seed}


@dataclass(frozen=True)
class ChatOptions:
    """The model that a judge is, and how it is reached.

    Attributes:
        name: the model, with its provider if it is called through LiteLLM.
        url: an OpenAI-compatible server; without it LiteLLM knows the address.
        temperature: of its answers.
        extra_body: what else each request holds.
        startup, outage: seconds to wait for the server while it starts, and while it is down.
        send_seed: whether requests hold a seed.
    """

    name: str
    url: str | None = field(default=None, repr=False)
    temperature: float = 0.0
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    startup: float = STARTUP
    outage: float = OUTAGE
    send_seed: bool = True

    def identity(self) -> dict[str, Any]:
        """What results depend on: all but where the server is and how long to wait for it."""
        how = ("url", "startup", "outage")
        return {name: value for name, value in asdict(self).items() if name not in how}

    def chat_model(self, cassette: Cassette | None = None) -> ChatModel:
        """The model, ready to be asked.

        Raises:
            ConfigError: an option has a value that is not allowed.
        """
        from tau2_gym.completion import ChatModel

        return ChatModel(
            self.name,
            base_url=self.url,
            temperature=self.temperature,
            extra_body=self.extra_body,
            startup=self.startup,
            outage=self.outage,
            send_seed=self.send_seed,
            cassette=cassette,
        )


def make_model_agent(
    kind: str,
    model: AgentModel,
    source: str,
    cassette: Cassette | None = None,
    *,
    episodes: int = 128,
) -> AsyncAgent:
    """An agent that is a model.

    Args:
        kind: one of `MODEL_AGENTS`.
        model: the model.
        source: where the domains come from, and with them the instruction to agents.
        cassette: records or replays its calls. Where all of them are replayed, `sglang` needs no
            server, and `transformers` no weights.
        episodes: under way at a time: `transformers` keeps no more conversations than that.

    Raises:
        ConfigError: the options do not fit, or something is not installed.
    """
    if kind not in MODEL_AGENTS:
        raise one_of("model agent", kind, MODEL_AGENTS)
    if not model.name:
        raise ConfigError(f"agent {kind!r} needs a model: give its name or folder with --model")
    if kind == "litellm":
        return _litellm(model, source, cassette)
    return _token_agent(kind, model, source, cassette, episodes)


def _token_agent(
    kind: str, model: AgentModel, source: str, cassette: Cassette | None, episodes: int
) -> AsyncAgent:
    from agents.backends.recorded import RecordedBackend
    from agents.backends.sglang import SGLangBackend
    from agents.backends.transformers import TransformersBackend
    from agents.codec import ChatCodec
    from agents.prompts import make_prompt, shows_tools
    from agents.token_agent import TokenAgent

    name = find_model(model.name)
    make: Callable[[], GenerationBackend] | None = None
    if kind == "transformers":
        make = partial(TransformersBackend.load, name, batch_size=episodes)
    elif model.urls:
        make = partial(
            SGLangBackend,
            model.urls,
            model=name,
            startup=model.startup,
            outage=model.outage,
            send_seed=model.send_seed,
        )
    elif cassette is None:
        raise ConfigError("agent 'sglang' needs the address of a server: give it with --sglang-url")
    codec = ChatCodec.load(name, thinking=model.thinking, tools=shows_tools(model.prompt))
    backend: GenerationBackend
    if cassette is not None:
        backend = RecordedBackend(cassette, model.name, make)
    else:
        assert make is not None
        backend = make()
    return TokenAgent(codec, backend, model.sampling, make_prompt(model.prompt, source))


def _litellm(model: AgentModel, source: str, cassette: Cassette | None) -> AsyncAgent:
    from agents.litellm_agent import LiteLLMAgent
    from agents.prompts import make_prompt
    from tau2_gym.completion import ChatModel

    if len(model.urls) > 1:
        raise ConfigError("agent 'litellm' calls one server: give one address, or a router's")
    sampling = model.sampling
    extra: dict[str, Any] = {}
    if sampling.top_k != -1:
        extra["top_k"] = sampling.top_k
    if sampling.min_p:
        extra["min_p"] = sampling.min_p
    if model.thinking is not None:
        extra["chat_template_kwargs"] = {"enable_thinking": model.thinking}
    chat = ChatModel(
        model.name,
        base_url=model.urls[0] if model.urls else None,
        temperature=sampling.temperature,
        top_p=None if sampling.top_p == 1 else sampling.top_p,
        max_tokens=sampling.max_new_tokens,
        extra_body=extra,
        startup=model.startup,
        outage=model.outage,
        send_seed=model.send_seed,
        cassette=cassette,
    )
    return LiteLLMAgent(chat, make_prompt(model.prompt, source))
