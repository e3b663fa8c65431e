"""`tau2-gym conformance`, as it was called before there was that command: `python -m benchmarks.conformance`."""

from tau2_gym.results.conformance import app

if __name__ == "__main__":
    app()
