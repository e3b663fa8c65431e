"""The prose is plain English: phrases that read as translated do not come back.

Spelling is codespell's; it looks at single words, and these are mostly phrases.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("tau2_gym", "agents", "benchmarks", "trainers", "examples", "docs", "tests")
PHRASEBOOK = ("tau2_gym/users/scripting", "tests/users")
"""What customers and agents may say is nobody's prose."""

INSTEAD = {
    r"\banew\b": "again",
    r"\bhee(d|ds|ded|ding)\b": "honour",
    r"\bspoilt\b": "faulted",
    r"\bgone on with\b": "resumed",
    r"\bgoes on where it stopped\b": "resumes",
    r"\b(is|are) no (JSON|YAML|address|result|row|attempt|trajectory)\b": "is not",
    r"\bthat (is|are) no [a-z]+\b": "that is not a",
    r"\bwhat is no\b": "what is not a",
    r"\basked straight\b": "called directly",
    r"\bweighs? environments\b": "measure the memory of",
    r"\buntil nobody waits\b": "until no request is waiting",
    r"\b(bytes|tokens|rows|lines?|numbers?|episodes|attempts|steps|calls) an? "
    r"(task|turn|token|process|step|attempt|episode|message|reset|parameter|group)\b": "per",
    r"\b(is|are) waited for\b": "wait for",
    r"\bBarnes'? tau2 pipeline\b": "Tau2-RL-Pipeline",
    r"\bseed pipelines?\b": "Tau2-RL-Pipeline",
}


def files() -> list[Path]:
    found = [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*"))]
    found = [path for path in found if path.suffix in (".py", ".md", ".yaml")]
    found = [path for path in found if not str(path.relative_to(ROOT)).startswith(PHRASEBOOK)]
    return [*sorted(ROOT.glob("*.md")), *found]


@pytest.mark.parametrize("phrase", INSTEAD)
def test_a_phrase_that_reads_as_translated_is_not_used(phrase: str) -> None:
    # A phrase may be broken over two lines, of a comment or of a string.
    pattern = re.compile(phrase.replace(" ", r"[\s\"#]+"))
    hits = []
    for path in files():
        if path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8")
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            hits.append(f"{path.relative_to(ROOT)}:{line}: {match[0]!r}")
    assert not hits, f"write {INSTEAD[phrase]!r} or the like: {hits}"
