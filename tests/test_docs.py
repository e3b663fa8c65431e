"""Every code block of the README and of the docs works as pasted.

Python blocks run, each on its own, and print what the page says. Of shell blocks, what needs no GPU, no key
and no download runs; the options of the other commands are read by the command itself.
"""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from tau2_gym.cli import VERBS
from tau2_gym.sandbox.local import available
from tests.chat_server import ChatServer, puppet

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^```(\w*)\n(.*?)^```$(?:\n\n[^\n`]*\n?\n```(?:text)?\n(.*?)^```$)?", re.M | re.S
)
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*python\s-m\s[^`]+)`")

ELSEWHERE = {
    "pip install": "downloads; .ci/run does it, in an empty environment",
    "sglang-server/bin/pip install": "downloads",
    "python -m venv": "makes an environment",
    ". .venv/bin/activate": "changes the shell",
    "python -m sglang.launch_server": "takes a GPU and SGLang",
    "sglang-server/bin/python -m sglang.launch_server": "takes a GPU and SGLang",
    "ray start": "takes a cluster",
    "git clone": "downloads",
    "cd ": "changes the shell",
    "cp -r examples/library/data branch": "tests/test_contributing.py runs it",
    "pre-commit": "downloads its hooks",
}
"""Beginnings of commands that are not ours to run here, and why."""

CHECKERS = ("pytest", "tests", "tests.mutation", "tests.tau2_games", "tests.generate_server")
"""Modules that run or serve the tests; only the files that they are given are looked at."""

RUN = {
    "python -m benchmarks.passk --split test --num-samples 4",
    "python -m examples.custom_agent",
}
"""Commands that take seconds, and need nothing."""

SERVERS = re.compile(r"http://127\.0\.0\.1:3000\d/v1")
"""Chat servers in the pages, which a real one on a free port takes the place of."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the page says that it prints."""

    where: str
    code: str
    shown: str | None


def fenced(language: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if match[1] == language:
                found.append(Block(f"{page.relative_to(ROOT)}:{line}", match[2], match[3]))
    return found


def commands() -> list[tuple[str, str, str | None]]:
    """Every command of a shell block or between backquotes: where it stands, itself, its output."""
    found: list[tuple[str, str, str | None]] = []
    for block in fenced("bash"):
        lines = block.code.replace("\\\n", " ").splitlines()
        parts = [part.strip() for line in lines for part in _uncommented(line).split("&&")]
        parts = [part for part in parts if part]
        found += [(block.where, part, block.shown if len(parts) < 3 else None) for part in parts]
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for part in INLINE.findall(text):
            found += [(str(page.relative_to(ROOT)), " ".join(one.split()), None)
                      for one in part.split("&&") if one.strip()]  # fmt: skip
    return found


def _uncommented(line: str) -> str:
    return shlex.join(shlex.split(line, comments=True)).replace("'&&'", "&&").replace("'&'", "")


PYTHON, COMMANDS = fenced("python"), commands()


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with ChatServer(puppet) as server:
        yield server


def expected(block: Block) -> list[str]:
    """The lines that are shown: those of the block after it, or the comments beside its prints."""
    if block.shown is not None:
        return block.shown.splitlines()
    return re.findall(r"^print\(.*\)  # (.*)$", block.code, re.M)


def says(line: str, pattern: str) -> bool:
    """Whether a line is as shown, where … stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line) is not None


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.where)
def test_python_runs_as_pasted(
    block: Block,
    chat: ChatServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "LocalSandbox(" in block.code and (why := available()) is not None:
        pytest.skip(why)
    monkeypatch.chdir(tmp_path)
    code = SERVERS.sub(chat.url, block.code)
    if code.startswith(">>>"):
        examples = doctest.DocTestParser().get_doctest(code, {}, block.where, None, 0)
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples).failed == 0
        return
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, block.where, "exec", dont_inherit=True), names)
    printed = capsys.readouterr().out.splitlines()
    shown = expected(block)
    assert len(printed) == len(shown), printed
    assert all(map(says, printed, shown)), printed


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.where)
def test_protocols_are_those_of_the_package(block: Block) -> None:
    """A page may show a protocol; then with the members and parameters that it has."""
    for name, body in re.findall(r"^class (\w+)\(Protocol\):\n((?: .*\n|\n)+)", block.code, re.M):
        (real,) = {
            found
            for module in ("agents.base", "agents.backends.base", "tau2_gym.users")
            if (found := getattr(importlib.import_module(module), name, None))
        }
        shown = re.findall(r"def (\w+)\(\s*self,?\s*(.*?)\s*\) ->", body, re.S)
        assert {method for method, _ in shown} == {key for key in vars(real) if key[0] != "_"}
        for method, parameters in shown:
            code = getattr(real, method).__code__
            names = [part.split(":")[0].split("=")[0].strip() for part in parameters.split(",")]
            assert ["self", *filter(None, names)] == list(code.co_varnames[: code.co_argcount])


@pytest.mark.parametrize("where, command, shown", COMMANDS)  # noqa: PT006
def test_a_command_is_one(
    where: str, command: str, shown: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_checkout(tmp_path))
    words = [word for word in shlex.split(command) if word != "&"]
    while words and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    command = " ".join(words)
    if not words or any(command.startswith(start) for start in ELSEWHERE):
        return
    if words[0] == "tau2-gym":
        words = ["python", "-m", VERBS[words[1]][0], *words[2:]]
    assert words[:2] == ["python", "-m"], "neither ours, nor named in ELSEWHERE"
    name, arguments = words[2], words[3:]
    if name in CHECKERS:
        for path in (word for word in arguments if "/" in word and "=" not in word):
            assert (ROOT / path).exists(), path
        return
    if command in RUN:
        printed = _run(name, arguments, monkeypatch)
        for line in (shown or "").splitlines():
            assert line.rstrip() in printed
        return
    assert shown is None, "shows an output that is not compared"
    _parse(name, arguments)


def _checkout(folder: Path) -> Path:
    """A folder to run commands in: the repository's, and data where the pages have made some."""
    for name in ("trainers", "docs"):
        (folder / name).symlink_to(ROOT / name)
    messages = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    for name in ("sft", "rft", "demos"):
        (folder / "data" / name).mkdir(parents=True)
        rows = 16 * (json.dumps({"messages": messages}) + "\n")  # a batch
        (folder / "data" / name / "data.jsonl").write_text(rows, encoding="utf-8")
    (folder / "FILE").touch()
    return folder


def _run(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that a command prints in a wide terminal."""
    module = importlib.import_module(name)
    for variable, value in {"COLUMNS": "150", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(variable, value)
    app = getattr(module, "app", None) or _plain(module.main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in result.output.splitlines()]


def _plain(main: Any) -> typer.Typer:
    app = typer.Typer()
    app.command()(main)
    return app


def _parse(name: str, arguments: list[str]) -> None:
    """Have the command read its options; sft and grpo say what they would run, too."""
    module = importlib.import_module(
        name if name != "examples.from_scratch" else f"{name}.__main__"
    )
    if not hasattr(module, "app"):
        assert Path(str(module.__file__)).is_relative_to(ROOT)
        return
    if {"--config", "--help"} & {*arguments}:  # sft and grpo take the former
        result = CliRunner().invoke(module.app, [*arguments, "--dry-run"])
        assert result.exit_code == 0, result.output
        return
    command: Any = typer.main.get_command(module.app)
    while hasattr(command, "commands") and arguments:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context(name, arguments)


def test_there_are_pages_and_blocks() -> None:
    assert len(PYTHON) > 9
    assert len(COMMANDS) > 40
    fences = sum(page.read_text(encoding="utf-8").count("\n```") for page in PAGES)
    assert fences % 2 == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files exist, and links to headings name one, by GitHub's rule for anchors."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.M)
            slugs = [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings]
            assert anchor in slugs, target
