"""Train a model on the environment: `python -m trainers.grpo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from agents.base import AgentView
from agents.checkpoints import find_model
from agents.codec import ChatCodec
from agents.prompts import make_prompt, shows_tools
from tau2_gym.domains.base import check_ready, get_domain
from tau2_gym.errors import ConfigError
from tau2_gym.exits import Command
from tau2_gym.users import USERS
from tau2_gym.values import listed_domains
from trainers.config import GRPOConfig, load_config
from trainers.credit import ESTIMATORS
from trainers.memory_estimate import needs
from trainers.openrlhf.launch import check_same, grpo_launch
from trainers.options import (
    GRPO_PACKAGES,
    DryRun,
    Model,
    Output,
    Recipes,
    Seed,
    Set,
    assigned,
    choose_backend,
    errors,
    given,
    planned_model,
    settings,
    unchecked,
)
from trainers.rollout.user import check_user
from trainers.tasks import evaluation_cost, judge_note, run_tasks

app = typer.Typer(add_completion=False)

CREDIT = f"{'; '.join(f'{name}: {credit.what}' for name, credit in ESTIMATORS.items())}."


@app.command(cls=Command)
def main(
    model: Model = "",
    config: Recipes = None,
    domains: Annotated[str, typer.Option(help="Comma-separated, to train on.")] = "",
    user: Annotated[str, typer.Option(help=f"{', '.join(USERS)}, or MODULE:CLASS.")] = "",
    credit: Annotated[str, typer.Option(help=CREDIT)] = "",
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    seed: Seed = None,
    output: Output = None,
    backend: Annotated[
        str,
        typer.Option(
            help="openrlhf (GPUs, Ray, vLLM), or local (this process); by default openrlhf where all "
            "it needs is there."
        ),
    ] = "",
    set_: Set = None,
    dry_run: DryRun = False,
) -> None:
    """GRPO on tau2-bench's training tasks.

    Options override the recipe, and the recipe the defaults. The same command resumes an
    interrupted run. The trained model is in OUTPUT/model.
    """
    console = Console(soft_wrap=True)
    notes = Console(soft_wrap=True, stderr=True)  # a dry run's output is a script
    with errors(console):
        recipe = load_config(
            GRPOConfig,
            config,
            given(
                {
                    "model": model,
                    "tasks.domains": list(listed_domains(domains, "--domains"))
                    if domains
                    else None,
                    "environment.user": user,
                    "algorithm.credit": credit,
                    "run.steps": steps,
                    "run.seed": seed,
                    "run.output": None if output is None else str(output),
                }
            )
            | settings(set_ or ()),
            assigned(set_ or ()),
        )
        chosen, why = choose_backend(backend, GRPO_PACKAGES, recipe.hardware, dry_run=dry_run)
        _, held_out = run_tasks(recipe)
        where = recipe.environment.source, recipe.environment.data_dir
        if left_out := judge_note(recipe.tasks, *where):
            notes.print(left_out, highlight=False)
        notes.print(evaluation_cost(recipe, held_out), highlight=False)
        if dry_run:
            recipe = recipe.model_copy(update={"model": planned_model(recipe.model)})
            if note := unchecked(recipe.model):
                notes.print(note, highlight=False)
            notes.print(needs(recipe, chosen, offline=True), highlight=False)
            _show(recipe, chosen, console)
            return
        recipe = recipe.model_copy(update={"model": find_model(recipe.model)})
        check_same(recipe.run.output, recipe.model_dump(mode="json"), chosen)
        check_prompts(recipe)
        for name in recipe.tasks.domains:
            check_ready(name)
        notes.print(needs(recipe, chosen), highlight=False)
        if recipe.hardware.launcher == "python":  # a job may reach another user than this machine
            check_user(recipe)
        console.print(f"Backend: {chosen} ({why}).", highlight=False)
        console.print(f"Model: {_train(recipe, chosen)}", highlight=False)


def check_prompts(config: GRPOConfig) -> None:
    """Check that the first prompt of each domain, and one turn, fit into the context.

    Raises:
        ConfigError: one does not, or the tokenizer cannot be loaded or has no suitable chat
            template.
    """
    environment, rollout = config.environment, config.rollout
    tools_shown = shows_tools(environment.prompt)
    codec = ChatCodec.load(config.model, thinking=environment.thinking, tools=tools_shown)
    prompt = make_prompt(environment.prompt, environment.source)
    for name in config.tasks.domains:
        domain = get_domain(name, environment.source, environment.data_dir)
        tools = [tool.schema for tool in domain.agent_tools.values()]
        system = prompt(AgentView(name, domain.policy, tools, ()))
        chat = [{"role": "system", "content": system}, {"role": "user", "content": "Hello"}]
        length = len(codec.start(chat, tools))
        if length + rollout.max_new_tokens > rollout.context:
            raise ConfigError(
                f"the prompt in {name} has {length} tokens, which leave no room for a turn of "
                f"{rollout.max_new_tokens} in a context of {rollout.context}: raise rollout.context, "
                "or set environment.prompt to compact"
            )


def _show(config: GRPOConfig, backend: str, console: Console) -> None:
    if backend == "openrlhf":
        print(grpo_launch(config).script())
        return
    console.print("In this process, with these settings:")
    print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), end="")


def _train(config: GRPOConfig, backend: str) -> Path:
    if backend == "openrlhf":
        grpo_launch(config).run()
        return config.run.output / "model"
    from trainers.local import grpo

    train: Any = grpo.train
    folder: Path = train(config)
    return folder


if __name__ == "__main__":
    app()
