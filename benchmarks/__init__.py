"""Ours against a baseline, in the same run: `python -m benchmarks.<name> --help`."""
