"""Print what partial configurations change, as options, quoted for a shell."""

import argparse
import shlex
from pathlib import Path

from comsl.cli import command
from comsl.training.overrides import espnet_options, run_options


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true", help="options of run.sh, instead of ESPnet's")
    parser.add_argument("files", type=Path, nargs="+", help="of two values the last one counts")
    args = parser.parse_args()
    options = run_options if args.run else espnet_options
    print(shlex.join(word for file in args.files for word in options(file)))


if __name__ == "__main__":
    main()
