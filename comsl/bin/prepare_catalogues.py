"""Stage 1 of the language model's recipe: sentence pairs from Debian's catalogues and manuals."""

import argparse
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.downloads import DOWNLOADS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("data/debian_l10n"), help="output folder")
    parser.add_argument("--langs", default="es fr it ru", help="source languages")
    parser.add_argument("--packages", type=Path, required=True, help="file of package names")
    parser.add_argument("--exclude", type=Path, help="file of sentences to leave out, one a line")
    return parser


@command
def main() -> None:
    """Prepare all languages."""
    args = parser().parse_args()

    from comsl.corpora.debian_l10n import prepare

    args.langs = args.langs.split()
    prepare(**vars(args), downloads=Path(DOWNLOADS))


if __name__ == "__main__":
    main()
