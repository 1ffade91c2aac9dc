"""Stage 1 of egs2/tsv: a corpus of one's own, from one table."""

import argparse
from pathlib import Path

from comsl.cli import command, corpus_parser, parse_corpus
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = corpus_parser(__doc__, "data/tsv")
    parser.add_argument(
        "--tsv",
        type=Path,
        help="table with a header: audio, lang, transcript, translation [split start end speaker "
        "target_lang]",
    )
    parser.add_argument(
        "--target_lang",
        default="en",
        help="language of the translations, or all of them",
    )
    parser.add_argument(
        "--folds", type=int, default=20, help="parts; of rows without a split 1 is test, 1 is dev"
    )
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parse_corpus(parser())
    if args.tsv is None:
        raise DataError("--tsv is missing: the table of your corpus, see docs/own-corpus.md")
    if args.folds < 3:
        raise DataError(f"--folds {args.folds}: at least 3, please: train, dev and test")
    from comsl.corpora import tsv
    from comsl.languages import language

    langs = args.langs.split()
    target_lang = " ".join(language(code).code for code in args.target_lang.split())
    tsv.prepare(args.tsv, langs, target_lang, args.out, args.folds, args.nj, args.max_dropped)


if __name__ == "__main__":
    main()
