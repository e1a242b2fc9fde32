#!/usr/bin/env python
"""A parallel merge sort as old jobTree scripts were written: only the imports differ from one of 2012.

    python examples/old_sort.py --fileToSort FILE --N 10000 --jobTree T --maxThreads 4

sorts FILE in place. With --fail every function fails half of the time: run it again with the same --jobTree until it is done.
"""

import os
import random
import shutil
from optparse import OptionParser

from jobtree.scripttree.bioio import getTempFile, logger, setLoggingFromOptions
from jobtree.scripttree.stack import Stack
from jobtree.scripttree.target import Target


class Setup(Target):
    """Sort the whole file."""

    def __init__(self, inputFile, N, mayFail):
        Target.__init__(self, time=1, memory=1000000, cpu=0.5)
        self.inputFile = inputFile
        self.N = N
        self.mayFail = mayFail

    def run(self):
        tempOutputFile = getTempFile(rootDir=self.getGlobalTempDir())
        self.addChildTargetFn(down, (self.inputFile, 0, os.path.getsize(self.inputFile), self.N, tempOutputFile, self.mayFail))
        self.setFollowOnFn(cleanup, (tempOutputFile, self.inputFile))
        maybeFail(self.mayFail)


def down(target, inputFile, fileStart, fileEnd, N, outputFile, mayFail):
    """Sort the lines of a part of the file: by two children, or here if it is small."""
    length = fileEnd - fileStart
    target.logToMaster("Am running a down target with length: %i from input file: %s" % (length, inputFile))
    midPoint = getMidPoint(inputFile, fileStart, fileEnd) if length > N else fileEnd - 1
    if midPoint + 1 < fileEnd:
        tempFile1 = getTempFile(rootDir=target.getGlobalTempDir())
        target.addChildTargetFn(down, (inputFile, fileStart, midPoint + 1, N, tempFile1, mayFail))
        tempFile2 = getTempFile(rootDir=target.getGlobalTempDir())
        target.addChildTargetFn(down, (inputFile, midPoint + 1, fileEnd, N, tempFile2, mayFail))
        target.setFollowOnTargetFn(up, (tempFile1, tempFile2, outputFile, mayFail))
    else:
        tempFile = os.path.join(target.getLocalTempDir(), "part")
        copySubRangeOfFile(inputFile, fileStart, fileEnd, tempFile)
        sort(tempFile)
        shutil.move(tempFile, outputFile)
    maybeFail(mayFail)


def up(target, inputFile1, inputFile2, outputFile, mayFail):
    """Merge two sorted files, and remove them."""
    merge(inputFile1, inputFile2, outputFile)
    target.logToMaster("Am running an up target with input files: %s and %s" % (inputFile1, inputFile2))
    maybeFail(mayFail)


def cleanup(tempOutputFile, outputFile):
    """Put the sorted file into its place."""
    shutil.copyfile(tempOutputFile, outputFile)


def maybeFail(mayFail):
    if mayFail and random.random() < 0.5:
        raise RuntimeError("an exception, as asked for")


def sort(fileName):
    with open(fileName) as fileHandle:
        lines = fileHandle.readlines()
    lines.sort()
    with open(fileName, "w") as fileHandle:
        fileHandle.writelines(lines)


def merge(fileName1, fileName2, outputFileName):
    with open(fileName1) as fileHandle1, open(fileName2) as fileHandle2, open(outputFileName, "w") as outputFileHandle:
        line1, line2 = fileHandle1.readline(), fileHandle2.readline()
        while line1 and line2:
            if line1 <= line2:
                outputFileHandle.write(line1)
                line1 = fileHandle1.readline()
            else:
                outputFileHandle.write(line2)
                line2 = fileHandle2.readline()
        for line, fileHandle in ((line1, fileHandle1), (line2, fileHandle2)):
            outputFileHandle.write(line)
            shutil.copyfileobj(fileHandle, outputFileHandle)


def copySubRangeOfFile(inputFile, fileStart, fileEnd, outputFile):
    with open(inputFile) as fileHandle, open(outputFile, "w") as outputFileHandle:
        fileHandle.seek(fileStart)
        outputFileHandle.write(fileHandle.read(fileEnd - fileStart))


def getMidPoint(fileName, fileStart, fileEnd):
    """The place of the newline that ends the line in the middle."""
    with open(fileName) as fileHandle:
        fileHandle.seek((fileStart + fileEnd) // 2)
        return (fileStart + fileEnd) // 2 + len(fileHandle.readline()) - 1


def main():
    parser = OptionParser()
    Stack.addJobTreeOptions(parser)
    parser.add_option("--fileToSort", dest="fileToSort", help="The file you wish to sort")
    parser.add_option("--N", dest="N", type="int", default=10000, help="Bytes that are sorted without being split")
    parser.add_option("--fail", dest="fail", action="store_true", default=False, help="Fail half of the time")
    options, args = parser.parse_args()
    setLoggingFromOptions(options)
    if args:
        raise RuntimeError("Unrecognised input arguments: %s" % " ".join(args))
    logger.info("Sorting %s", options.fileToSort)
    i = Stack(Setup(options.fileToSort, int(options.N), options.fail)).startJobTree(options)
    if i:
        raise RuntimeError("The jobtree contained %i failed jobs" % i)


if __name__ == "__main__":
    from old_sort import *  # noqa: F403  # classes must not be those of __main__

    main()
