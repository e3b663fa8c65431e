"""All checks, as one command: `python -m tests`. Arguments go to pytest, which runs on all cores."""

from __future__ import annotations

import subprocess
import sys

# Files stay whole, since what one of them sets up, often a trained model, is shared by its tests.
PARALLEL = ("-n", "logical", "--maxprocesses", "8", "--dist", "loadfile")

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("pytest", *PARALLEL, *sys.argv[1:]),
)


def main() -> int:
    """Run the checks in order, and stop at the first that fails."""
    for check in CHECKS:
        print(f"$ {' '.join(check)}", flush=True)
        status = subprocess.run([sys.executable, "-m", *check], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
