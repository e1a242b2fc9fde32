"""Small helpers of old scripts and of their tests: options of a command, XML, parsers, how long tests may be."""

from __future__ import annotations

import optparse
import os
import resource
from collections.abc import Callable
from typing import Any
from xml.dom import minidom
from xml.etree import ElementTree as ET

from ._logs import addLoggingOptions, setLoggingFromOptions


def nameValue(name: str, value: Any, valueType: Callable[[Any], Any] = str, quotes: bool = False) -> str:
    """An option for a command line: `--name value`; of type bool `--name` or nothing, and nothing for None."""
    if valueType is bool:
        return f"--{name}" if value else ""
    if value is None:
        return ""
    return f"--{name} '{valueType(value)}'" if quotes else f"--{name} {valueType(value)}"


def prettyXml(elem: ET.Element) -> str:
    """An element in lines, indented by two blanks."""
    return minidom.parseString(ET.tostring(elem, "utf-8")).toprettyxml(indent="  ")


def getBasicOptionParser(
    usage: str = "usage: %prog [options]", version: str = "%prog 0.1", parser: optparse.OptionParser | None = None
) -> optparse.OptionParser:
    """A parser of optparse with the logging options and --tempDirRoot, or that parser with them."""
    parser = optparse.OptionParser(usage=usage, version=version) if parser is None else parser
    addLoggingOptions(parser)
    parser.add_option("--tempDirRoot", dest="tempDirRoot", type="string", default=os.getcwd(), help="Where temporary files go.")
    return parser


def parseBasicOptions(parser: optparse.OptionParser) -> tuple[Any, list[str]]:
    """Parse the command line and set up logging."""
    options, arguments = parser.parse_args()
    setLoggingFromOptions(options)
    if options.tempDirRoot == "None":
        options.tempDirRoot = os.getcwd()
    return options, arguments


def getTotalCpuTime() -> float:
    """Cpu seconds of this process and of its children that have ended."""
    return getTotalCpuTimeAndMemoryUsage()[0]


def getTotalMemoryUsage() -> int:
    """The peak memory of this process and of its largest child that has ended, together (KiB)."""
    return getTotalCpuTimeAndMemoryUsage()[1]


def getTotalCpuTimeAndMemoryUsage() -> tuple[float, int]:
    """Both."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime
    return seconds, mine.ru_maxrss + theirs.ru_maxrss


class TestStatus:
    """How long the tests of a script may be."""

    __test__ = False  # not for pytest

    TEST_SHORT = 0
    TEST_MEDIUM = 1
    TEST_LONG = 2
    TEST_VERY_LONG = 3
    TEST_STATUS = TEST_SHORT
    SAVE_ERROR_LOCATION: str | None = None

    @staticmethod
    def getTestStatus() -> int:
        """One of the four."""
        return TestStatus.TEST_STATUS

    @staticmethod
    def setTestStatus(status: int) -> None:
        """Set it."""
        assert status in range(4), f"{status} is none of the four lengths of tests"
        TestStatus.TEST_STATUS = status

    @staticmethod
    def getTestSetup(shortTestNo: int = 1, mediumTestNo: int = 5, longTestNo: int = 100, veryLongTestNo: int = 0) -> int:
        """The one of these numbers that belongs to the length."""
        return (shortTestNo, mediumTestNo, longTestNo, veryLongTestNo)[TestStatus.TEST_STATUS]

    @staticmethod
    def getSaveErrorLocation() -> str | None:
        """Where the inputs of failed tests go."""
        return TestStatus.SAVE_ERROR_LOCATION

    @staticmethod
    def setSaveErrorLocation(dir: str) -> None:  # noqa: A002  # its name of old
        """Set that place."""
        assert os.path.isdir(dir), f"{dir} is no directory"
        TestStatus.SAVE_ERROR_LOCATION = dir

    @staticmethod
    def getPathToDataSets() -> str:
        """The directory that SON_TRACE_DATASETS names."""
        return os.environ["SON_TRACE_DATASETS"]


def parseSuiteTestOptions(parser: optparse.OptionParser | None = None) -> tuple[Any, list[str]]:
    """Parse the command line of a suite of tests, and set how long they may be."""
    parser = getBasicOptionParser() if parser is None else parser
    lengths = ("SHORT", "MEDIUM", "LONG", "VERY_LONG")
    parser.add_option("--testLength", dest="testLength", default="SHORT", help=f"One of {', '.join(lengths)}. default=%default")
    parser.add_option("--saveError", dest="saveError", help="Where the inputs of failed tests go.")
    options, arguments = parseBasicOptions(parser)
    if options.testLength not in lengths:
        parser.error(f"Unrecognised option for --testLength, {options.testLength}. Options are {', '.join(lengths)}.")
    TestStatus.setTestStatus(lengths.index(options.testLength))
    if options.saveError is not None:
        TestStatus.setSaveErrorLocation(options.saveError)
    return options, arguments
