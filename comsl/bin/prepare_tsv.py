"""Stage 1 of egs2/tsv: a corpus of one's own, from one table."""

import argparse
import os
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("data/tsv"), help="output directory")
    parser.add_argument("--langs", required=True, help='source languages, such as "fr it"')
    parser.add_argument(
        "--tsv",
        type=Path,
        help="table with a header: audio, lang, transcript, translation [split start end speaker "
        "target_lang]",
    )
    parser.add_argument("--target_lang", default="en", help="language of the translations")
    parser.add_argument(
        "--folds", type=int, default=20, help="parts; of rows without a split 1 is test, 1 is dev"
    )
    parser.add_argument("--nj", type=int, default=os.cpu_count(), help="parallel processes")
    parser.add_argument(
        "--max_dropped", type=float, default=0.05, help="share of rows that may be unusable"
    )
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parser().parse_args()
    if args.tsv is None:
        raise DataError("--tsv is missing: the table of your corpus, see egs2/tsv/comsl1/README.md")
    if args.nj < 1:
        raise DataError(f"--nj {args.nj}: at least one process, please")
    if args.folds < 3:
        raise DataError(f"--folds {args.folds}: at least 3, please: train, dev and test")
    from comsl.corpora import tsv
    from comsl.languages import language

    langs = args.langs.split()
    target_lang = language(args.target_lang).code
    tsv.prepare(args.tsv, langs, target_lang, args.out, args.folds, args.nj, args.max_dropped)


if __name__ == "__main__":
    main()
