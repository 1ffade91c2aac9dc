"""Print the options of run.sh that partial configurations set, as lines name=value."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.overrides import espnet_options, run_options


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "files", help="override files, separated by blanks; of two values the last one counts"
    )
    for file in map(Path, parser.parse_args().files.split()):
        espnet_options(file)  # what trainings will read, too, is to be read in time
        for name, value in run_options(file).items():
            print(f"{name}={value}")


if __name__ == "__main__":
    main()
