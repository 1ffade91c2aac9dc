"""Stage 1 of egs2/covost2: CoVoST 2 over a release of Common Voice.

On request also untranslated clips of a later release."""

import argparse
from pathlib import Path

from comsl.cli import command, corpus_parser, parse_corpus


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = corpus_parser(__doc__, "data/covost2")
    parser.add_argument(
        "--common_voice", type=Path, required=True, help="folder of a Common Voice, archives or not"
    )
    parser.add_argument(
        "--covost2", type=Path, required=True, help="folder of CoVoST 2's tables, fetched if absent"
    )
    parser.add_argument(
        "--target_lang",
        default="en",
        help="of the translations; several from English",
    )
    parser.add_argument(
        "--later", default="", help="folder of a later Common Voice, to take untranslated_<lang> of"
    )
    parser.add_argument(
        "--pseudo_langs",
        default="",
        help="of --langs, those to take untranslated_<lang> of [groups mid and low]",
    )
    parser.add_argument(
        "--min_coverage", type=float, default=0.9,
        help="share of each of CoVoST 2's sets that the release must have",
    )  # fmt: skip
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parse_corpus(parser())
    from comsl.corpora import covost2
    from comsl.corpora.by_language import Output

    output = Output(args.out, args.nj, args.max_dropped)
    targets = tuple(args.target_lang.split())
    settings = covost2.Settings(args.common_voice, args.covost2, output, args.min_coverage, targets)
    pseudo_langs = args.pseudo_langs.split() or covost2.PSEUDO_LANGS
    later = Path(args.later) if args.later else None
    covost2.prepare(settings, args.langs.split(), later, list(pseudo_langs))


if __name__ == "__main__":
    main()
