"""A table to be read: on a terminal, in Markdown or in HTML."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table with its title; a cell is text or a number (shown with its decimals)."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | int | float]]
    decimals: int = 1
    note: str = ""

    def format(self, style: str) -> str:
        """As text in one of tabulate's styles: `github` is Markdown, `simple` for a terminal."""
        from tabulate import tabulate

        columns = range(len(self.header))
        aligned = ["left" if self.is_text(column) else "right" for column in columns]
        return tabulate(self.cells(), self.header, style, disable_numparse=True, colalign=aligned)

    def is_text(self, column: int) -> bool:
        """Whether a column has no number in it."""
        return all(isinstance(row[column], str) for row in self.rows)

    def cells(self) -> list[list[str]]:
        """Every cell as it is printed."""
        return [
            [f"{cell:.{self.decimals}f}" if isinstance(cell, float) else str(cell) for cell in row]
            for row in self.rows
        ]
