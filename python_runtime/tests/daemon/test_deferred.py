"""A deferred module runs at its first use, is then as any other, and is one object throughout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelab.daemon.deferred import defer


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "__init__.py").write_text("runs = []\n")
    (tmp_path / "shelf" / "book.py").write_text("from shelf import runs\nruns.append(1)\nPAGES = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "shelf.book"
    for name in ("shelf", "shelf.book"):
        sys.modules.pop(name, None)


def runs() -> int:
    import shelf  # type: ignore[import-not-found]

    return len(shelf.runs)


def test_importing_does_not_run_it_and_using_it_does_once(package: str) -> None:
    defer(package)
    import shelf.book  # type: ignore[import-not-found]
    from shelf import book

    assert runs() == 0
    assert shelf.book.PAGES == 3
    assert (book.PAGES, runs()) == (3, 1)
    assert sys.modules[package] is book is shelf.book


def test_taking_a_name_out_of_it_runs_it(package: str) -> None:
    defer(package)
    from shelf.book import PAGES

    assert (PAGES, runs()) == (3, 1)


def test_an_unknown_name_of_it_is_an_error_as_ever(package: str) -> None:
    defer(package)
    import shelf.book

    with pytest.raises(AttributeError, match="covers"):
        shelf.book.covers  # noqa: B018


def test_what_is_loaded_or_not_installed_stays_so(package: str) -> None:
    import shelf.book

    defer(package, "no_such_package", "no_such_package.inside", "shelf.nothing")
    assert shelf.book.PAGES == 3
    assert "no_such_package" not in sys.modules
    assert "shelf.nothing" not in sys.modules
