"""Benchmarks of jobtree, each beside the peers that are installed, in the same run: `python -m benchmarks --help`."""

import os

# What is measured is this machine, even where a batch system is installed on it.
os.environ.setdefault("JOBTREE_LOGIN_NODE", "no")
