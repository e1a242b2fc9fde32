"""The helpers that old scripts import: logging, shell commands, temporary files, sequences and alignments."""

from __future__ import annotations

import os

from ._cigars import AlignmentOperation as AlignmentOperation
from ._cigars import PairwiseAlignment as PairwiseAlignment
from ._cigars import cigarRead as cigarRead
from ._cigars import cigarReadFromString as cigarReadFromString
from ._cigars import cigarWrite as cigarWrite
from ._logs import addLoggingFileHandler as addLoggingFileHandler
from ._logs import addLoggingOptions as addLoggingOptions
from ._logs import getLogLevelString as getLogLevelString
from ._logs import logFile as logFile
from ._logs import logger as logger
from ._logs import setLoggingFromOptions as setLoggingFromOptions
from ._logs import setLogLevel as setLogLevel
from ._programs import popen as popen
from ._programs import popenCatch as popenCatch
from ._programs import popenPush as popenPush
from ._programs import spawnDaemon as spawnDaemon
from ._programs import system as system
from ._sequences import fastaDecodeHeader as fastaDecodeHeader
from ._sequences import fastaEncodeHeader as fastaEncodeHeader
from ._sequences import fastaNormaliseHeader as fastaNormaliseHeader
from ._sequences import fastaRead as fastaRead
from ._sequences import fastaReadHeaders as fastaReadHeaders
from ._sequences import fastaWrite as fastaWrite
from ._sequences import fastqRead as fastqRead
from ._sequences import fastqWrite as fastqWrite
from ._sequences import getRandomSequence as getRandomSequence
from ._sequences import reverseComplement as reverseComplement
from ._sequences import reverseComplementChar as reverseComplementChar
from ._settings import TestStatus as TestStatus
from ._settings import getBasicOptionParser as getBasicOptionParser
from ._settings import getTotalCpuTime as getTotalCpuTime
from ._settings import getTotalCpuTimeAndMemoryUsage as getTotalCpuTimeAndMemoryUsage
from ._settings import getTotalMemoryUsage as getTotalMemoryUsage
from ._settings import nameValue as nameValue
from ._settings import parseBasicOptions as parseBasicOptions
from ._settings import parseSuiteTestOptions as parseSuiteTestOptions
from ._settings import prettyXml as prettyXml
from ._tempfiles import TempFileTree as TempFileTree
from ._tempfiles import absSymPath as absSymPath
from ._tempfiles import catFiles as catFiles
from ._tempfiles import getRandomAlphaNumericString as getRandomAlphaNumericString
from ._tempfiles import getTempDirectory as getTempDirectory
from ._tempfiles import getTempFile as getTempFile
from ._tempfiles import isNewer as isNewer
from ._tempfiles import makeSubDir as makeSubDir


def workflowRootPath() -> str:
    """The directory of this package."""
    return os.path.dirname(os.path.abspath(__file__))
