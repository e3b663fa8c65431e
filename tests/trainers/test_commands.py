"""The command lines: what they print, and what they refuse."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tau2_gym.errors import ConfigError
from tests.tiny_model import tiny_tokenizer
from trainers import grpo, sft
from trainers.config import GRPOConfig
from trainers.openrlhf.launch import ROOT, Launch, check_same

RECIPES = ROOT / "trainers" / "recipes"
ROW = {
    "messages": [
        {"role": "system", "content": "Help."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
    ]
}


@pytest.fixture(autouse=True)
def everything_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.options._absent", lambda packages: [])


def run_grpo(*arguments: str) -> Result:
    return CliRunner().invoke(grpo.app, ["--config", str(RECIPES / "tau2_grpo.yaml"), *arguments])


def run_sft(*arguments: str) -> Result:
    return CliRunner().invoke(sft.app, ["--config", str(RECIPES / "tau2_sft.yaml"), *arguments])


def command(result: Result) -> list[str]:
    """The last line of a printed script, which goes on over several."""
    return shlex.split(result.stdout.split("\n", 3)[3].replace("\\\n", ""))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    file.write_text((json.dumps(ROW) + "\n") * 16)
    return file


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    """A folder that passes for a model as long as nobody loads its weights."""
    folder = tmp_path / "model"
    tiny_tokenizer("instruct").save_pretrained(folder)
    (folder / "config.json").write_text("{}")
    return str(folder)


def test_a_dry_run_of_grpo_prints_a_script_that_a_shell_can_read(tmp_path: Path) -> None:
    output = tmp_path / "a run"
    result = run_grpo(
        "--dry-run", "--model", "runs/none", "--credit", "turn", "--steps", "3", "--seed", "7",
        "--output", str(output), "--set", "optimizer.lr=2e-6", "--user", "litellm:openai/other",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "36 tasks of dev (airline 6, retail 15, telecom 15), not trained on" in result.stderr
    assert "144 attempts before the first step" in result.stderr
    change, make, echo, _ = result.stdout.split("\n", 3)
    assert shlex.split(change) == ["cd", str(ROOT)]
    assert shlex.split(make) == ["mkdir", "-p", str(output)]
    _, settings, _, path = shlex.split(echo)
    config = GRPOConfig.model_validate_json(settings)
    assert (config.algorithm.credit, config.run.steps, config.run.seed) == ("turn", 3, 7)
    assert (config.optimizer.lr, config.environment.user) == (2e-6, "litellm:openai/other")
    words = command(result)
    assert words[:2] == ["env", f"TAU2_GYM_TRAINING={path}"]
    assert words[3:5] == ["-m", "trainers.openrlhf.main"]
    assert words[words.index("--actor.adam.lr") + 1] == "2e-06"
    assert not output.exists()


def test_a_ray_job_is_submitted_with_this_repository() -> None:
    result = run_grpo("--dry-run", "--config", str(RECIPES / "hardware" / "2x8gpu.yaml"))
    assert result.exit_code == 0, result.output
    words = command(result)
    assert words[:5] == ["ray", "job", "submit", "--address", "http://127.0.0.1:8265"]
    assert words[5:8] == ["--working-dir", str(ROOT), "--"]
    assert words[words.index("--train.agent_func_path") + 1] == "trainers/openrlhf/agent_func.py"
    assert words[words.index("--vllm.num_engines") + 1] == "16"


def test_a_dry_run_of_sft_prints_deepspeeds_command(data: Path) -> None:
    result = run_sft("--dry-run", "--data", str(data))
    assert result.exit_code == 0, result.output
    words = command(result)
    assert words[:5] == ["deepspeed", "--num_gpus", "8", "--module", "openrlhf.cli.train_sft"]
    assert words[words.index("--data.dataset") + 1] == str(data)


def test_rows_of_other_makers_are_written_out(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text((json.dumps({"prompt": ROW["messages"]}) + "\n") * 16)
    result = run_sft("--dry-run", "--data", str(file), "--output", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    copy = tmp_path / "run" / "rows.jsonl"
    assert str(copy) in result.stdout
    assert json.loads(copy.read_text().splitlines()[0]) == ROW


def test_a_dry_run_of_the_local_backend_prints_its_settings() -> None:
    result = run_grpo("--dry-run", "--backend", "local")
    assert result.exit_code == 0, result.output
    assert "trajectory" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "runs/none"], "there is no model folder runs/none"),
        (["--model", "./none"], "there is no model folder ./none"),
        (["--dry-run", "--backend", "none"], "unknown backend 'none'"),
        (
            ["--dry-run", "--set", "rollout.samples=1"],
            "--set rollout.samples=1: rollout.samples must be greater than or equal to 2, not 1",
        ),
        (
            ["--dry-run", "--set", "rollout.none=1"],
            "--set rollout.none=1: rollout.none: there is no such setting; allowed: tasks, samples, ",
        ),
        (
            ["--dry-run", "--set", "optimiser.lr=1"],
            "--set optimiser.lr=1: optimiser: there is no such setting; allowed: model, tasks, env",
        ),
        (
            ["--dry-run", "--set", "rollout=3"],
            "--set rollout=3: rollout is a section: write rollout.NAME=VALUE, NAME being one of tasks",
        ),
        (
            ["--dry-run", "--set", "rollout={samples: 1}"],
            "--set rollout={samples: 1}: rollout.samples must be greater than or equal to 2, not 1",
        ),
        (
            ["--dry-run", "--set", "hardware.dtype=int8"],
            "--set hardware.dtype=int8: hardware.dtype must be 'bf16', 'fp16' or 'fp32', not \"int8\"",
        ),
        (
            ["--dry-run", "--set", "rollout.samples=many"],
            '--set rollout.samples=many: rollout.samples must be a valid integer, not "many"',
        ),
        (
            ["--dry-run", "--set", "environment.reward=5"],
            "environment.reward must be a valid string or a valid dictionary, not 5",
        ),
        (
            ["--dry-run", "--set", "environment.reward={presett: 1}"],
            "--set environment.reward={presett: 1}: environment: unknown reward option 'presett'; allowed",
        ),
        (
            ["--dry-run", "--set", "tasks.domains=nope"],
            '--set tasks.domains=nope: tasks.domains must be a list, such as [a, b], not "nope"',
        ),
        (["--dry-run", "--set", "run.output=3"], "run.output must be a path, not 3"),
        (["--dry-run", "--set", "optimizer.betas=[.1]"], "optimizer.betas.1 is missing"),
        (["--dry-run", "--set", "model="], "--set model=: model must be a valid string, not null"),
        (
            ["--dry-run", "--set", "algorithm.updates=7"],
            "--set algorithm.updates=7: settings: 7 upd",
        ),
        (["--dry-run", "--set", "run.seed=["], "--set run.seed=[: '[' is not YAML"),
        (
            ["--dry-run", "--steps", "0"],
            "error: run.steps must be greater than or equal to 1, not 0",
        ),
        (["--dry-run", "--model", "./none"], "there is no model folder ./none"),
        (["--dry-run", "--model", "/none/model"], "there is no model folder /none/model"),
        (["--dry-run", "--model", "a/b/c"], "there is no model folder a/b/c"),
        (["--dry-run", "--model", "tests"], "the folder tests holds no model with its tokenizer"),
        (["--dry-run", "--set", "rollout.top_p=0.95"], "rollout: top_p must be off (1.0) while"),
        (["--dry-run", "--set", "rollout.top_k=20"], "rollout: top_k must be off (-1) while"),
        (["--dry-run", "--set", "rollout.min_p=0.05"], "rollout: min_p must be off (0.0) while"),
        (["--dry-run", "--set", "optimizer.lr=.inf"], "optimizer.lr must be a finite"),
        (["--dry-run", "--set", "curriculum.half_life=0"], "curriculum.half_life must be"),
        (
            ["--dry-run", "--set", "optimizer.betas=[2, 3]"],
            "optimizer.betas.0 must be less",
        ),
        (
            ["--dry-run", "--set", "algorithm.clip=[-1, 0.1]"],
            "algorithm.clip.0 must be gre",
        ),
        (
            ["--dry-run", "--set", "algorithm.correction_range=[5, 0.5]"],
            "correction_range goes from low to high, not from 5.0 to 0.5",
        ),
        (
            ["--dry-run", "--set", "curriculum.easy=0.1"],
            "easy (0.1) must not be less than hard (0.25)",
        ),
        (["--backend", "openrlhf", "--set", "run.keep=1", "--dry-run"], "keep must be at least 2"),
        (["--dry-run", "--set", "nonsense"], "section.name=value"),
        (["--dry-run", "--set", "tasks.split=test"], "holds test tasks"),
        (["--dry-run", "--domains", "none"], "none"),
        (["--dry-run", "--config", "none.yaml"], "no recipe can be read from none.yaml"),
    ],
)
def test_wrong_settings_of_grpo_are_one_sentence(arguments: list[str], says: str) -> None:
    backend = [] if "--backend" in arguments else ["--backend", "local"]
    result = run_grpo(*backend, *arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert result.output.count("error:") == 1
    assert "Traceback" not in result.output
    assert "Input should be" not in result.output


def test_what_is_wrong_in_a_recipe_is_said_of_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model: m\nrollout: {samples: 1, smples: 2}\nrun: {steps: none}\n")
    done = CliRunner().invoke(
        grpo.app, ["--config", str(file), "--set", "run.steps=x", "--dry-run"]
    )
    said = " ".join(done.output.split())
    assert done.exit_code == 2
    assert (
        "mine.yaml: rollout.samples must be greater than or equal to 2, not 1; rollout.smples: "
        in said
    )
    assert said.endswith('; --set run.steps=x: run.steps must be a valid integer, not "x"')


def test_a_dry_run_says_which_model_it_did_not_look_at(
    tokenizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, says in {
        "missing-folder": "there is no folder missing-folder; on the hub, where a run looks for it,",
        "runs/none": "runs/none has yet to be trained",
    }.items():
        result = run_grpo("--dry-run", "--model", name)
        assert result.exit_code == 0, result.output
        assert says in " ".join(result.stderr.split())
    assert "Model:" not in run_grpo("--dry-run", "--backend", "local", "--model", tokenizer).stderr


def test_a_dry_run_of_sft_asks_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("a dry run has asked the network")

    monkeypatch.setattr("socket.getaddrinfo", connect)
    monkeypatch.setattr("socket.socket.connect", connect)
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "1"},
        {"role": "assistant", "content": "Hello."},
    ]
    tools = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}]
    file = tmp_path / "data.jsonl"
    file.write_text((json.dumps({"messages": messages, "tools": tools}) + "\n") * 16)
    output = tmp_path / "run"
    for model in ("nobody/no-model", "runs/none"):
        result = run_sft(
            "--dry-run", "--model", model, "--data", str(file), "--output", str(output)
        )
        assert result.exit_code == 0, result.output
        said = " ".join(result.stderr.split())
        assert f"take the chat template of {model}, which is not on this machine" in said
        words = command(result)
        assert words[words.index("--data.dataset") + 1] == str(output / "rows.jsonl")
        assert not output.exists()


@pytest.mark.parametrize("backend", ["openrlhf", "local"])
@pytest.mark.parametrize("setting", ["top_p=.9", "top_k=50", "min_p=.1", "top_p=.nan"])
def test_a_truncated_distribution_is_refused_and_said_why(backend: str, setting: str) -> None:
    result = run_grpo("--dry-run", "--backend", backend, "--set", f"rollout.{setting}")
    assert result.exit_code == 2, result.output
    assert "another distribution than the one that the trainer computes" in result.output


def test_options_of_samplers_may_be_off() -> None:
    off = ("top_p=1", "top_k=-1", "min_p=0")
    options = [word for setting in off for word in ("--set", f"rollout.{setting}")]
    assert run_grpo("--dry-run", *options).exit_code == 0
    assert run_grpo("--dry-run", "--set", "rollout.top_k=0").exit_code == 0


def test_a_prompt_that_leaves_no_room_is_refused(tokenizer: str, tmp_path: Path) -> None:
    result = run_grpo(
        "--backend", "local", "--model", tokenizer, "--output", str(tmp_path / "run"),
        "--set", "rollout.context=5000",
    )  # fmt: skip
    assert result.exit_code == 2, result.output
    assert "the prompt in airline has" in result.output


def test_rows_that_do_not_fit_are_refused(data: Path, tokenizer: str, tmp_path: Path) -> None:
    result = run_sft(
        "--backend", "local", "--model", tokenizer, "--data", str(data),
        "--output", str(tmp_path / "run"), "--set", "context=16",
    )  # fmt: skip
    assert result.exit_code == 2, result.output
    assert "row 1 has" in result.output


def test_no_rows_and_rows_of_test_tasks_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert run_sft("--dry-run", "--data", str(empty)).exit_code == 2
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps({**ROW, "domain": "retail", "task_id": "0", "split": "test"}) + "\n")
    result = run_sft("--dry-run", "--data", str(test))
    assert result.exit_code == 2
    assert "test task" in result.output


def test_a_backend_that_cannot_run_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.options._absent", lambda packages: list(packages)[:1])
    result = run_grpo("--backend", "openrlhf")
    assert result.exit_code == 2
    assert "backend 'openrlhf' needs openrlhf" in result.output


def test_another_run_is_not_gone_on_with(tokenizer: str, tmp_path: Path) -> None:
    output = tmp_path / "run"
    (output / "checkpoints").mkdir(parents=True)
    (output / "config.json").write_text(json.dumps({"optimizer": {"lr": 1.0}}))
    result = run_grpo("--backend", "local", "--model", tokenizer, "--output", str(output))
    assert result.exit_code == 2
    assert "checkpoints of a run with other settings" in result.output


def test_a_launch_leaves_its_settings_and_tells_of_failure(tmp_path: Path) -> None:
    output = tmp_path / "run"
    Launch({"a": 1}, output, ("sh", "-c", f"test -e {output}/config.json")).run()
    assert json.loads((output / "config.json").read_text()) == {"a": 1}
    with pytest.raises(RuntimeError, match="sh ended with exit code 3"):
        Launch({"a": 1}, output, ("sh", "-c", "exit 3")).run()
    with pytest.raises(ConfigError, match="none-such is not installed"):
        Launch({"a": 1}, output, ("none-such",)).run()


@pytest.mark.parametrize(
    ("checkpoint", "backend", "says"),
    [
        ("000003/state.pt", "openrlhf", "of backend 'local': resume with --backend local"),
        ("_actor/latest", "local", "of backend 'openrlhf': resume with --backend openrlhf"),
        ("_actor/latest", "openrlhf", "of a run on 8 GPUs: resume on as many, not 4"),
    ],
)
def test_a_run_goes_on_with_its_backend_and_its_gpus(
    checkpoint: str, backend: str, says: str, tmp_path: Path
) -> None:
    settings = {"hardware": {"nodes": 2, "gpus": 2}}
    file = tmp_path / "checkpoints" / checkpoint
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "config.json").write_text(json.dumps({"hardware": {"nodes": 1, "gpus": 8}}))
    with pytest.raises(ConfigError, match=says):
        check_same(tmp_path, settings, backend)


@pytest.mark.parametrize(
    ("visible", "arguments", "says"),
    [
        ("0,1", (), "the recipe takes 4 GPUs on this machine, which has 2: set hardware.gpus"),
        ("0,1", ("--backend", "openrlhf"), "needs 4 GPUs on this machine, which has 2"),
        ("", ("--backend", "openrlhf"), "needs GPUs"),
        (
            "0,1,2,3,4",
            ("--config", str(RECIPES / "hardware" / "async_8gpu.yaml")),
            "takes 8 GPUs on this machine, which has 5",
        ),
    ],
)
def test_too_few_gpus_are_noticed(
    visible: str, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    result = run_grpo(*arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_a_user_that_is_not_there_is_noticed(tokenizer: str, tmp_path: Path) -> None:
    result = run_grpo(
        "--backend", "local", "--model", tokenizer, "--output", str(tmp_path / "run"),
        "--user", "llm:m@http://127.0.0.1:1/v1", "--set", "environment.prompt=bare",
    )  # fmt: skip
    assert result.exit_code == 2, result.output
    assert "the user's model cannot be used" in result.output
    assert not (tmp_path / "run").exists()
