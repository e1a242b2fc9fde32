"""Temporary files and small file helpers as old scripts know them."""

from __future__ import annotations

import os
import random
import shutil
import string
import tempfile

from jobtree.errors import UsageError

_ALPHANUMERIC = string.digits + string.ascii_letters


def getRandomAlphaNumericString(length: int = 10) -> str:
    """Random digits and letters."""
    return "".join(random.choice(_ALPHANUMERIC) for _ in range(length))


def getTempFile(suffix: str = "", rootDir: str | None = None) -> str:
    """Make an empty file, `tmp_...` in `rootDir`, with mode 0777; to be removed by hand."""
    if rootDir is None:
        handle, path = tempfile.mkstemp(suffix)
        os.close(handle)
        return path
    while True:
        path = os.path.join(rootDir, f"tmp_{getRandomAlphaNumericString()}{suffix}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        os.chmod(path, 0o777)
        return path


def getTempDirectory(rootDir: str | None = None) -> str:
    """Make an empty directory, `tmp_...` in `rootDir`, with mode 0777; to be removed by hand."""
    if rootDir is None:
        return tempfile.mkdtemp()
    while True:
        path = os.path.join(rootDir, f"tmp_{getRandomAlphaNumericString()}")
        try:
            os.mkdir(path)
        except FileExistsError:
            continue
        os.chmod(path, 0o777)
        return path


def makeSubDir(dirName: str) -> str:
    """Make a directory with mode 0777 if it is not there; returns its name."""
    if not os.path.exists(dirName):
        os.mkdir(dirName)
        os.chmod(dirName, 0o777)
    return dirName


def absSymPath(path: str) -> str:
    """The absolute path, without looking behind symbolic links, not even those in the shell's working directory."""
    here = os.environ.get("PWD", "")
    if not here or not os.path.isdir(here) or not os.path.samefile(here, os.getcwd()):
        here = os.getcwd()
    return os.path.normpath(os.path.join(here, path))


def isNewer(firstFile: str, secondFile: str) -> bool:
    """Whether the first file was changed later than the second one."""
    return os.path.getctime(firstFile) > os.path.getctime(secondFile)


def catFiles(filesToCat: list[str], catFile: str) -> None:
    """Write the files one behind the other into one."""
    with open(catFile, "wb") as output:
        for name in filesToCat:
            with open(name, "rb") as content:
                shutil.copyfileobj(content, output)


class TempFileTree:
    """Hands out files and directories below `rootDir`, `filesPerDir` at most in each directory, in `levels` levels."""

    def __init__(self, rootDir: str, filesPerDir: int = 500, levels: int = 3) -> None:
        if filesPerDir < 1 or levels < 1:
            raise UsageError("TempFileTree: filesPerDir and levels are at least 1")
        os.makedirs(rootDir, exist_ok=True)
        self.rootDir = rootDir
        self.filesPerDir = filesPerDir
        self.levelNo = levels
        self.tempFilesCreated = 0
        self.tempFilesDestroyed = 0
        self._open: list[str] = []  # the directory of each level below the root in which files are made now

    def getTempFile(self, suffix: str = "", makeDir: bool = False) -> str:
        """A new file, or directory; RuntimeError when all places are taken."""
        place = self._place()
        self.tempFilesCreated += 1
        return getTempDirectory(place) if makeDir else getTempFile(suffix, place)

    def getTempDirectory(self) -> str:
        """A new directory."""
        return self.getTempFile(makeDir=True)

    def destroyTempFile(self, tempFile: str) -> None:
        """Remove a file, and directories that are empty then."""
        os.remove(tempFile)
        self._destroyed(tempFile)

    def destroyTempDir(self, tempDir: str) -> None:
        """Remove a directory with all that is in it, and directories that are empty then."""
        shutil.rmtree(tempDir)
        self._destroyed(tempDir)

    def listFiles(self) -> list[str]:
        """All files and directories that were handed out and are there."""
        found = [self.rootDir]
        for _ in range(self.levelNo):
            found = [os.path.join(place, name) for place in found for name in sorted(os.listdir(place))]
        return found

    def destroyTempFiles(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.rootDir, ignore_errors=True)

    def _place(self) -> str:
        """A directory of the last level with room for one more."""
        while True:
            here = self._open[-1] if self._open else self.rootDir
            if not os.path.isdir(here):
                self._open.pop()
            elif len(os.listdir(here)) >= self.filesPerDir:
                if not self._open:
                    raise RuntimeError("We ran out of space to make temp files")
                self._open.pop()
            elif len(self._open) == self.levelNo - 1:
                return here
            else:
                self._open.append(getTempDirectory(here))

    def _destroyed(self, path: str) -> None:
        self.tempFilesDestroyed += 1
        place = os.path.dirname(path)
        while place not in (self.rootDir, "", "/") and place not in self._open and not os.listdir(place):
            os.rmdir(place)
            place = os.path.dirname(place)
