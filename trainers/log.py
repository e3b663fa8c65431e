"""What a run logs: a line of JSON per step, and the same for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tau2_gym.errors import ConfigError
from tau2_gym.journal import replace_file
from trainers.sections import Run


class RunLog:
    """The log of a run: `output/log.jsonl`, `output/config.json`, and `output/logs` for TensorBoard.

    Args:
        run: where to, and which trackers.
        config: all settings of the run.
        step: the step after which the run resumes, 0 if it starts; what an earlier process wrote
            about steps that are taken again is dropped.

    Raises:
        ConfigError: a tracker that was asked for is not installed.
    """

    def __init__(self, run: Run, config: Mapping[str, Any], step: int = 0) -> None:
        self.path = run.output / "log.jsonl"
        run.output.mkdir(parents=True, exist_ok=True)
        (run.output / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        # Before its first checkpoint a run starts over, with the evaluation at step 0.
        first = step + 1 if step else 0
        kept = [line for line in self._lines() if json.loads(line)["step"] < first]
        replace_file(self.path, "".join(kept).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._board: Any = None
        if run.tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ConfigError(
                    "logs for TensorBoard need tensorboard: pip install tensorboard, or set "
                    "run.tensorboard to false"
                ) from error
            self._board = SummaryWriter(str(run.output / "logs"), purge_step=first)
        self._wandb: Any = None
        if run.wandb is not None:
            try:
                import wandb
            except ImportError as error:
                raise ConfigError("run.wandb takes wandb: pip install wandb") from error
            self._wandb = wandb.init(project=run.wandb, dir=str(run.output), config=dict(config))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()

    def _lines(self) -> list[str]:
        """The whole lines there are: a kill may have left half of one."""
        if not os.path.exists(self.path):
            return []
        with self.path.open(encoding="utf-8") as file:
            return [line for line in file if line.endswith("\n")]
