"""What holds for all tests, and for all that they start."""

from __future__ import annotations

import os
import tempfile

# Where batch systems are installed for the tests of the launchers, this machine is no login node.
os.environ.setdefault("JOBTREE_LOGIN_NODE", "no")
# The list of this user's runs (`jobtree ps`) is not to fill up with those of tests.
os.environ.setdefault("XDG_DATA_HOME", tempfile.mkdtemp(prefix="jobtree-tests-data-"))
