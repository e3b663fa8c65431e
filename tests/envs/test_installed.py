"""What is installed from a wheel, where there is no checkout. Runs where TAU2_GYM_TEST_WHEEL=1."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    os.environ.get("TAU2_GYM_TEST_WHEEL") != "1",
    reason="set TAU2_GYM_TEST_WHEEL=1 to build and install a wheel, which downloads hatchling",
)

MAKE = """
import gymnasium, sys
env = gymnasium.make("tau2_gym:tau2/mock-v0")
observation, info = env.reset(seed=0)
env.step("Hello.")
many = gymnasium.make_vec("tau2_gym:tau2/mock-v0", num_envs=2)
assert many.reset(seed=0)[0][0] == observation
assert gymnasium.make("tau2/mock-v0").reset(seed=0)[0] == observation
print(sys.modules["tau2_gym"].__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps"]
    subprocess.run([*pip, "-q", "-w", str(folder), str(ROOT)], check=True, timeout=250)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs code with the wheel installed, far from the checkout."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps"]
    subprocess.run([*pip, "-q", "--target", str(target), str(wheel)], check=True, timeout=250)

    def run(code: str) -> str:
        return subprocess.check_output(
            [sys.executable, "-c", code],
            cwd=target,
            env={**os.environ, "PYTHONPATH": str(target)},
            text=True,
            timeout=200,
        ).strip()

    return run


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tau2_gym"}
    shipped = {name for name in names if name.startswith("tau2_gym/")}
    here = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tau2_gym").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == here


def test_environments_are_made_with_gymnasium_imported_alone(run: Callable[[str], str]) -> None:
    assert "installed" in run(MAKE)
