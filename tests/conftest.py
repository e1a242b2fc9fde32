"""What holds for all tests, and for all that they start."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Where batch systems are installed for the tests of the launchers, this machine is no login node.
os.environ.setdefault("JOBTREE_LOGIN_NODE", "no")
# The list of this user's runs (`jobtree ps`) is not to fill up with those of tests.
if "XDG_DATA_HOME" not in os.environ:
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="jobtree-tests-data-")
    atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)
