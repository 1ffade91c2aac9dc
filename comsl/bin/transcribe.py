"""Transcribe recordings of any length and format, in the language that is spoken in them."""

from comsl.cli import command
from comsl.serving.command_line import run


@command
def main() -> None:
    """Command-line entry."""
    run("asr", __doc__)


if __name__ == "__main__":
    main()
