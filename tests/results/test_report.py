"""`tau2-gym report`: what it writes, what it refuses, and what never gets into the page."""

from __future__ import annotations

import base64
import gc
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tau2_gym.results.page import build
from tau2_gym.results.report import app, without_garbage
from tests.results.runs import call, record, result, write

EVIL = "</script><img src=x onerror=alert(1)><!--"
SECRET = "sk-live-0123456789abcdef"


def invoke(*arguments: Any) -> tuple[int, str]:
    # So wide that no path is broken over two lines.
    done = CliRunner(env={"COLUMNS": "1000"}).invoke(app, [str(each) for each in arguments])
    return done.exit_code, " ".join(done.output.split())


class Page(HTMLParser):
    """The elements of a page, and what is in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


def test_a_report_is_one_file_that_asks_nothing_of_a_network(telecom: Path, page: Path) -> None:
    code, said = invoke(telecom, "-o", page)
    assert (code, said.startswith(f"Report: {page} (")) == (0, True)
    found = Page(page.read_text(encoding="utf-8"))
    for tag, attributes in found.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form") or attributes == {
            "id": "filters", "class": "filters", "aria-label": "Filters"
        }  # fmt: skip
        assert not {name for name in attributes if name.startswith("on")}
        assert "style" not in attributes
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    policy = next(
        str(attributes["content"])
        for _, attributes in found.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]


def test_the_same_run_gives_the_same_bytes(telecom: Path, page: Path) -> None:
    assert invoke(telecom, "-o", page)[0] == 0
    first = page.read_bytes()
    assert invoke(telecom, "-o", page)[0] == 0
    assert page.read_bytes() == first


def test_what_the_page_says_is_what_the_table_says(telecom: Path, page: Path) -> None:
    invoke(telecom, "-o", page)
    text = re.sub(r"<[^>]+>|\s+", " ", page.read_text(encoding="utf-8").partition("<script")[0])
    text = " ".join(text.split())
    assert "2 attempts at 1 task in telecom" in text
    assert "pass^2 all 2 attempts succeed telecom 1 task 100.0 [100, 100]" in text
    assert "passed 2 100.0 %" in text


def test_several_runs_stand_side_by_side(tmp_path: Path, page: Path) -> None:
    runs = [
        write(tmp_path / f"{name}.jsonl", [record(), record("2", 0, 0.0)]) for name in ("sft", "rl")
    ]
    assert invoke(*runs, "-o", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    heads = re.findall(r'<th scope="col">.*?</span>(\w*)</th>', text)
    assert heads[1:3] == ["sft", "rl"]


def hostile(folder: Path) -> Path:
    """A run with markup and a secret wherever a run has text."""
    text = f"{EVIL} {SECRET}"
    messages = [
        {"role": "assistant", "content": text},
        {"role": "user", "content": text},
        call(text, **{text: [text, {text: text}]}),
        result(text),
        call(text, "user"),
        result(text, "user", error=True),
    ]
    made = record(
        text,
        domain=text,
        revision=text,
        termination=text,
        error=text,
        answer=text,
        messages=messages,
        num_turns=1,
        rewards=[{text: 0.5}],
        verdicts=[{text: text}],
        checks={"performed": [True], "db": True},
    )
    again = record(text, 1, None, domain=text, revision=text, fault=text, messages=messages)
    path = folder / f"{EVIL.replace('/', '')} {SECRET}.jsonl"
    return write(path, [made, again], agent=text, model=text, **{text: text})


def test_markup_and_secrets_appear_nowhere(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain.html"
    invoke(
        write(tmp_path / "plain.jsonl", [record(), record("1", 1, None, fault="user")]), "-o", plain
    )
    monkeypatch.setenv("SHOP_API_KEY", SECRET)
    code, said = invoke(hostile(tmp_path), "-o", page)
    assert code == 0, said
    text = page.read_text(encoding="utf-8")
    found, ordinary = Page(text), Page(plain.read_text(encoding="utf-8"))
    packed = [gzip.decompress(base64.b64decode(each)).decode() for each in found.scripts[2:]]
    assert len(packed) == 1
    for place in (text, *packed):
        assert SECRET not in place
        assert base64.b64encode(SECRET.encode()).decode() not in place
    assert "onerror" in packed[0]
    assert len(found.scripts) == len(ordinary.scripts)
    assert not [tag for tag, _ in found.elements if tag == "img"]
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in ordinary.elements} | {"p"}
    assert json.loads(found.scripts[0])["tasks"][0][1] == f"{EVIL} ***"


def test_an_earlier_report_is_replaced(telecom: Path, page: Path) -> None:
    invoke(telecom, "-o", page)
    page.write_bytes(page.read_bytes() + b"<!-- older -->")
    assert invoke(telecom, "-o", page)[0] == 0
    assert not page.read_bytes().endswith(b"<!-- older -->")


def test_another_file_is_replaced_only_when_forced(telecom: Path, page: Path) -> None:
    page.write_text("<!doctype html><title>Mine</title>")
    code, said = invoke(telecom, "-o", page)
    assert (code, said) == (
        2,
        f"error: {page} is there and is not a report: name another file with -o, or replace it with --force",
    )
    assert page.read_text() == "<!doctype html><title>Mine</title>"
    assert invoke(telecom, "-o", page, "--force")[0] == 0
    assert build.MARK in page.read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".config.json", ".summary.json"])
def test_a_run_is_never_replaced(telecom: Path, suffix: str) -> None:
    path = telecom.with_suffix(suffix)
    before = path.read_bytes()
    code, said = invoke(telecom, "-o", path, "--force")
    assert (code, said) == (2, f"error: {path} belongs to a run: name another file with -o")
    assert path.read_bytes() == before


WRONG = {
    "missing": (None, "there is no such file"),
    "empty": ("", "holds no results"),
    "not JSON": ("hello\n", "line 1, is not JSON"),
    "foreign": ('{"simulations": []}\n', "line 1 is not a result of a run"),
    "no messages": (
        json.dumps(record(messages=[{"role": "system"}]).to_dict()) + "\n",
        "message 0 is not in tau2-bench's form",
    ),
    "cut in the middle": ('{"domain": \n' + json.dumps(record().to_dict()) + "\n", "is not JSON"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_a_run_is_one_sentence_and_nothing_is_written(
    what: str, tmp_path: Path, page: Path
) -> None:
    content, sentence = WRONG[what]
    path = tmp_path / "run.jsonl"
    if content is not None:
        path.write_text(content)
    page.write_bytes(before := b"<!doctype html>" + build.MARK)
    code, said = invoke(path, "-o", page)
    assert code == 2
    assert said.startswith("error: ")
    assert sentence in said
    assert "Traceback" not in said
    assert page.read_bytes() == before


def test_other_refusals(telecom: Path, tmp_path: Path) -> None:
    assert (
        invoke(telecom, telecom, "-o", tmp_path / "r.html")[1] == f"error: {telecom} is named twice"
    )
    code, said = invoke(telecom, "-o", tmp_path)
    assert (code, said) == (2, f"error: {tmp_path} is a folder: name a file with -o")
    (tmp_path / "file").write_text("")
    code, said = invoke(telecom, "-o", tmp_path / "file" / "r.html")
    assert (code, "error: " in said, "Traceback" in said) == (2, True, False)


def test_a_folder_is_made_for_the_report(telecom: Path, tmp_path: Path) -> None:
    assert invoke(telecom, "-o", tmp_path / "new" / "r.html")[0] == 0


def test_what_is_not_installed_is_named(
    telecom: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "NEEDED", ("jinja2", "nowhere", "nobody"))
    code, said = invoke(telecom, "-o", page)
    assert (code, page.exists()) == (2, False)
    assert said == (
        "error: a report needs nowhere and nobody, not installed here: pip install 'tau2-gym[report]'"
    )


def test_garbage_is_collected_again_however_a_report_ends(tmp_path: Path, page: Path) -> None:
    for path, code in ((write(tmp_path / "a.jsonl", [record()]), 0), (tmp_path / "none.jsonl", 2)):
        assert invoke(path, "-o", page)[0] == code
        assert gc.isenabled()
    with without_garbage():
        assert not gc.isenabled()
