"""The mutation check itself, on two modules that are quickly tested."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.mutation import ROOT

SCRIPT = """
import sys
from tests import mutation

mutation.HEAVY = ()
mutation.ELSEWHERE["agents/noop.py"] = ["tests/domains/test_schema.py"]  # knows nothing of it
sys.exit(mutation.main())
"""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the check copies a git checkout")
def test_a_fault_that_the_tests_see_is_told_from_one_that_they_do_not() -> None:
    modules = ("tau2_gym/domains/schema.py", "agents/noop.py")
    command = [sys.executable, "-c", SCRIPT, *modules, "--sample", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 1, ended.stderr  # half is less than 95 %
    assert re.findall(r"(\d) of +(\d) killed  (\S+)", ended.stdout)[-2:] == [
        ("1", "1", modules[0]),
        ("0", "1", modules[1]),
    ]
    assert "1 of    2 killed (50.0%), seed 0" in ended.stdout
    assert "survived: agents/noop.py:" in ended.stdout
    assert re.search(r"^-    .+\n\+    .+", ended.stdout, re.MULTILINE)
