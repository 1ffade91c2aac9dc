"""Rows of a study, conf/<study>/<row>.yaml: a table of models that are trained alike but for what
each row's file changes. A row whose name begins with a number builds on the rows numbered before
it; others stand alone, and are compared with the first, `none` where there is one."""

import re
from collections.abc import Sequence
from pathlib import Path

from comsl.errors import DataError

CONF = Path("conf")


def rows_of(study: str) -> list[str]:
    """Names of a study's rows, in their order. DataError: there is no such study."""
    studies = sorted({path.parent.name for path in CONF.glob("*/*.yaml")})
    if study not in studies:
        raise DataError(f"there is no study '{study}': choose from {' '.join(studies)}")
    names = sorted((path.stem for path in (CONF / study).glob("*.yaml")), key=_natural)
    return sorted(names, key=lambda name: name != "none")


def _natural(name: str) -> list:
    """`9_x` before `10_y`."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def choose_rows(study: str, wanted: str) -> list[str]:
    """Those that `wanted` names, all where it names none. DataError: there is no such row."""
    rows = rows_of(study)
    for name in wanted.split():
        if name not in rows:
            raise DataError(f"study {study} has no row '{name}': choose from {' '.join(rows)}")
    return [row for row in rows if row in wanted.split() or not wanted.split()]


def row_files(study: str, row: str) -> list[Path]:
    """The files that make a row; the last one is its own."""
    rows = rows_of(study)
    before = [name for name in rows[: rows.index(row)] if name[0].isdigit() and row[0].isdigit()]
    return [CONF / study / f"{name}.yaml" for name in (*before, row)]


def above(names: Sequence[str], index: int) -> str | None:
    """The row that a row is compared with: the one above where they build on each other, else the
    first."""
    if index == 0:
        return None
    return names[index - 1] if names[index][0].isdigit() else names[0]
