"""What a child is told through standard input arrives, and it needs nothing of the event loop for that."""

from __future__ import annotations

import os

import pytest

from edgelab.edgecore.children import _filled


def test_the_text_is_there_as_soon_as_the_pipe_is_and_then_it_ends() -> None:
    with _filled("a.token") as pipe:
        assert pipe.read() == b"a.token"


def test_a_text_that_no_pipe_holds_is_refused_and_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BlockingIOError, match="more than a pipe holds"), _filled("x" * (2 << 20)):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
