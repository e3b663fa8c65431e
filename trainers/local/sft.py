"""Supervised fine-tuning in this process: OpenRLHF's dataset, model and loss."""

from __future__ import annotations

import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from agents.tokenizer import load_tokenizer
from tau2_gym.errors import ConfigError
from trainers.config import SFTConfig
from trainers.data.chat_template import FlatTemplate
from trainers.data.conversations import flat_rows, has_tools
from trainers.data.dataset import read_rows
from trainers.local.checkpoints import latest_checkpoint, save_checkpoint, save_model
from trainers.local.learner import Learner, load_actor
from trainers.log import RunLog
from trainers.openrlhf.gpu_packages import gpu_packages_optional


def train(config: SFTConfig, console: Console | None = None) -> Path:
    """Fine-tune a model; resume from the newest checkpoint if there is one.

    Returns:
        The folder of the trained model, `output/model`.

    Raises:
        ConfigError: model, tokenizer or data cannot be used.
        DataError: the data are not rows of messages.
    """
    import torch

    console = console or Console()
    run = config.run
    torch.manual_seed(run.seed)
    saved = latest_checkpoint(run)
    tokenizer = load_tokenizer(config.model)
    batches = _Batches(_items(config, tokenizer), config.batch, run.seed)
    evaluation = [] if config.eval_data is None else _items(config, tokenizer, config.eval_data)
    steps = run.steps or config.epochs * len(batches)
    actor = load_actor(config.model if saved is None else str(saved[0]), config.hardware)
    learner = Learner(actor, config.optimizer, steps)
    if saved is not None:
        learner.load_state(saved[1])
        console.print(f"Resuming after step {learner.updates} of {steps}.")
    loss_of = _Loss(config, actor, tokenizer.pad_token_id)
    with RunLog(run, config.model_dump(mode="json"), learner.updates) as log:
        while (step := learner.updates) < steps:
            loss = loss_of.backward(batches[step])
            lr = learner.lr
            norm = learner.step()
            values = {"train/loss": loss, "train/lr": lr, "train/grad_norm": norm}
            ended = (step + 1) % len(batches) == 0 or step + 1 == steps
            if evaluation and ended:
                values["eval/loss"] = loss_of.mean(evaluation)
            log.write(step + 1, values)
            if run.saves_after(step + 1) or step + 1 == steps:
                save_checkpoint(run, step + 1, actor, tokenizer, learner.state())
    folder = run.output / "model"
    save_model(actor, tokenizer, folder)
    return folder


Item = tuple[Any, Any]
"""Token ids and loss mask of a row, both of shape (tokens,)."""


def _items(config: SFTConfig, tokenizer: Any, path: Path | None = None) -> list[Item]:
    """The rows as OpenRLHF's `SFTDataset` tokenises and masks them."""
    from datasets import Dataset

    with gpu_packages_optional():
        from openrlhf.datasets import SFTDataset

    given = read_rows(path or config.data)
    if any(map(has_tools, given)):
        given = flat_rows(given, FlatTemplate(tokenizer))
    rows = [{"messages": row["messages"]} for row in given]
    data = SimpleNamespace(input_key="messages", output_key=None, apply_chat_template=True)
    dataset = SFTDataset(
        Dataset.from_list(rows),
        tokenizer,
        config.context,
        SimpleNamespace(args=SimpleNamespace(data=data)),
        num_processors=1,
        multiturn=True,
    )
    if len(dataset) < len(rows):
        raise ConfigError(
            f"{len(rows) - len(dataset)} of {len(rows)} rows do not fit into {config.context} "
            "tokens: raise context, or leave them out"
        )
    return [(ids[0], mask[0]) for ids, _, mask in (dataset[i] for i in range(len(dataset)))]


class _Batches:
    """Which rows each step trains on: every epoch in a different order, the last batch of an epoch
    filled from the next one."""

    def __init__(self, items: list[Item], size: int, seed: int) -> None:
        self.items = items
        self.size = size
        self.seed = seed

    def __len__(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.items) / self.size)

    def __getitem__(self, step: int) -> list[Item]:
        first = step * self.size
        return [self._item(number) for number in range(first, first + self.size)]

    def _item(self, number: int) -> Item:
        epoch, place = divmod(number, len(self.items))
        order = list(range(len(self.items)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return self.items[order[place]]


class _Loss:
    """OpenRLHF's `SFTLoss` over batches that are cut into micro-batches of similar lengths."""

    def __init__(self, config: SFTConfig, actor: Any, pad: int) -> None:
        with gpu_packages_optional():
            from openrlhf.models import SFTLoss

        self.loss = SFTLoss(token_level_loss=config.loss == "token-mean")
        self.actor = actor
        self.pad = pad
        self.size = config.hardware.micro_batch

    def backward(self, items: list[Item]) -> float:
        """Add the gradients of a batch's loss, and return it."""
        self.actor.train()
        total = 0.0
        for loss in self._parts(items):
            loss.backward()
            total += float(loss.detach())
        return total

    def mean(self, items: list[Item]) -> float:
        """The loss over rows, without gradients."""
        import torch

        self.actor.eval()
        with torch.no_grad():
            return sum(float(loss) for loss in self._parts(items))

    def _parts(self, items: list[Item]) -> Any:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        device = next(self.actor.parameters()).device
        tokens = sum(mask[:-1].sum() for _, mask in items)
        items = sorted(items, key=lambda item: len(item[0]))
        for start in range(0, len(items), self.size):
            part = items[start : start + self.size]
            ids = pad_sequence([ids for ids, _ in part], batch_first=True, padding_value=self.pad)
            mask = pad_sequence([mask for _, mask in part], batch_first=True)
            lengths = torch.tensor([len(ids) for ids, _ in part])
            attention = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
            logprobs, _ = self.actor(
                ids.to(device),
                attention_mask=attention.to(device),
                return_output=True,
                return_logprobs=True,
            )
            yield self.loss(
                logprobs,
                mask[:, :-1].to(device),
                batch_num_tokens=tokens,
                global_batch_size=len(items),
            )
