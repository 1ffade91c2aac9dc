"""Translate recordings of any length and format: text, or subtitles with their times."""

from comsl.cli import command
from comsl.serving.command_line import run


@command
def main() -> None:
    """Command-line entry."""
    run("st", __doc__)


if __name__ == "__main__":
    main()
