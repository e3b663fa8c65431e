"""Checkpoints are whole or not there, and run nothing when they are read."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.tokenizer import load_tokenizer
from tau2_gym.errors import ConfigError
from tests.trainers.local import small
from tests.trainers.local.small import torch
from trainers.local.checkpoints import latest_checkpoint, save_checkpoint, save_model
from trainers.local.learner import load_actor
from trainers.sections import Run


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return small.start(tmp_path_factory.mktemp("start"))


def actor(path: str, temperature: float = 1.0) -> Any:
    return load_actor(path, small.CPU, temperature)


def run(folder: Path, keep: int = 3) -> Run:
    return Run(output=folder, keep=keep)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_checkpoints_are_kept(start: str, tmp_path: Path) -> None:
    settings, model = run(tmp_path, keep=2), actor(start)
    assert latest_checkpoint(settings) is None
    for step in (2, 4, 10, 100):
        folder = save_checkpoint(settings, step, model, small.tokenizer(), {"step": step})
        assert latest_checkpoint(settings) == (folder, {"step": step})
    assert names(tmp_path / "checkpoints") == ["000010", "000100"]
    assert small.apart(folder, start) == 0
    assert load_tokenizer(str(folder)).get_vocab() == small.tokenizer().get_vocab()


class Breaks:
    """A model that is killed when it has written one of its files."""

    def save_pretrained(self, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 2], ids=["again", "next"])
def test_half_a_checkpoint_is_none(start: str, tmp_path: Path, step: int) -> None:
    settings, model = run(tmp_path), actor(start)
    whole = save_checkpoint(settings, 1, model, small.tokenizer(), {"step": 1})
    before = names(whole)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(settings, step, SimpleNamespace(model=Breaks()), small.tokenizer(), {})
    assert latest_checkpoint(settings) == (whole, {"step": 1})
    assert names(whole) == before
    # What was left does not stand in the way of the next one.
    save_checkpoint(settings, step, model, small.tokenizer(), {"step": 7})
    found = latest_checkpoint(settings)
    assert found is not None
    assert found[1] == {"step": 7}
    assert names(found[0]) == before
    assert names(tmp_path / "checkpoints") == sorted({"000001", f"{step:06d}"})


def test_a_model_takes_the_place_of_an_older_one_whole(start: str, tmp_path: Path) -> None:
    folder, model = tmp_path / "run" / "model", actor(start)
    save_model(model, small.tokenizer(), folder)
    before = names(folder)
    with pytest.raises(KeyboardInterrupt):
        save_model(SimpleNamespace(model=Breaks()), small.tokenizer(), folder)
    assert names(folder) == before
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    save_model(model, small.tokenizer(), folder)
    assert names(folder.parent) == ["model"]
    assert small.apart(folder, start) == pytest.approx(1.0, abs=1e-5)


class Malice:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def zipped(state: Any, file: Path) -> None:
    torch.save(state, file)


def legacy(state: Any, file: Path) -> None:
    torch.save(state, file, _use_new_zipfile_serialization=False)


def pickled(state: Any, file: Path) -> None:
    file.write_bytes(pickle.dumps(state))


@pytest.mark.parametrize("write", [zipped, legacy, pickled])
@pytest.mark.parametrize("place", ["step", "learner", "extra"])
def test_a_planted_checkpoint_runs_nothing(
    start: str, tmp_path: Path, place: str, write: Callable[[Any, Path], None]
) -> None:
    settings, victim = run(tmp_path / "run"), tmp_path / "ran"
    folder = save_checkpoint(settings, 3, actor(start), small.tokenizer(), {"step": 3})
    write({"step": 3, "learner": {}, place: Malice(victim)}, folder / "state.pt")
    with pytest.raises(
        ConfigError, match=r"state\.pt is not a checkpoint of plain data and tensors"
    ):
        latest_checkpoint(settings)
    assert not victim.exists()
    with suppress(RuntimeError):  # of what it was given, after it has run it
        torch.load(folder / "state.pt", weights_only=False)
    assert victim.exists(), "nothing was planted"


@pytest.mark.parametrize("damage", ["", "nonsense", "half"])
def test_a_damaged_checkpoint_is_one_sentence(start: str, tmp_path: Path, damage: str) -> None:
    settings = run(tmp_path)
    folder = save_checkpoint(settings, 3, actor(start), small.tokenizer(), {"step": 3})
    whole = (folder / "state.pt").read_bytes()
    content = whole[: len(whole) // 2] if damage == "half" else damage.encode()
    (folder / "state.pt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"delete .*000003 to resume from the one before"):
        latest_checkpoint(settings)


def test_code_beside_a_model_is_not_run(start: str, tmp_path: Path) -> None:
    folder = save_checkpoint(run(tmp_path), 1, actor(start), small.tokenizer(), {})
    victim = tmp_path / "ran"
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((folder / name).read_text())
        classes = {"AutoConfig": "planted.C", "AutoModelForCausalLM": "planted.M"}
        settings["auto_map"] = {**classes, "AutoTokenizer": ["planted.T", None]}
        (folder / name).write_text(json.dumps(settings))
    (folder / "planted.py").write_text(f"open({str(victim)!r}, 'w')\nC = M = T = object\n")
    load_tokenizer(str(folder))
    actor(str(folder))
    assert not victim.exists()
