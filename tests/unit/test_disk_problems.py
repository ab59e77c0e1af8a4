"""Too little space is found by file system, and what shares one is added up."""

from __future__ import annotations

import pytest
from ansible_collections.edgelab.kubeedge.plugins.filter.disk_problems import disk_problems

HEADER = "File Avail Mounted on"
NEEDS = {"/opt": 400, "/var": 1000}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["/opt 400 /", "/var 1000 /var"], []),
        (["/opt 1400 /", "/var 1400 /"], []),
        (
            ["/opt 1399 /", "/var 1399 /"],
            ["/opt and /var (file system /) has 1399 MB free, and 1400 MB are needed"],
        ),
        (["/opt 399 /", "/var 9999 /var"], ["/opt (file system /) has 399 MB free"]),
        (["/opt 0 /opt", "/var 1 /var"], ["/opt (file system /opt)", "/var (file system /var)"]),
        (["/srv 1 /", "/var - /var"], []),
    ],
)
def test_file_systems_with_too_little_space_are_named(lines: list[str], words: list[str]) -> None:
    problems = disk_problems([HEADER, *lines], NEEDS)
    assert len(problems) == len(words), problems
    assert all(problem.startswith(word) for problem, word in zip(problems, words, strict=True))
