"""Stage 1 of the pretraining's recipe: recorded speech in Debian's packages."""

import argparse
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.downloads import DOWNLOADS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--out", type=Path, default=Path("data/debian_speech"), help="output folder")
    add("--langs", default="es fr it ru", help="source languages")
    add("--exclude", type=Path, required=True, help="file of texts to leave out, one a line")
    return parser


@command
def main() -> None:
    """Prepare all languages."""
    args = parser().parse_args()

    from comsl.corpora.debian_speech import prepare

    prepare(args.langs.split(), Path(DOWNLOADS), args.out, args.exclude)


if __name__ == "__main__":
    main()
