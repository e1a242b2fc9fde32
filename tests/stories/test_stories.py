"""Every story goes as it is written down; ``python -m tests.stories --rewrite`` writes down how they go now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories.teller import play

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_goes_as_it_is_written_down(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert play(text) == text


def test_there_are_stories() -> None:
    assert len(STORIES) >= 8
