"""Small programs that show how things are used: `python -m examples.NAME`."""
