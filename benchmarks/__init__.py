"""Benchmarks of jobtree, each beside the peers that are installed, in the same run: `python -m benchmarks --help`."""
