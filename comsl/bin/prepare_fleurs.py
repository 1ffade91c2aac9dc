"""Stage 1 of egs2/fleurs: FLEURS, fetched from Hugging Face's hub, sentences paired by number."""

import argparse
from pathlib import Path

from comsl.cli import command, corpus_parser, parse_corpus


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = corpus_parser(__doc__, "data/fleurs")
    parser.add_argument(
        "--fleurs", type=Path, required=True, help="folder of FLEURS, fetched if absent"
    )
    parser.add_argument("--target_lang", default="en", help="language of the translations")
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parse_corpus(parser())
    from comsl.corpora import fleurs
    from comsl.corpora.by_language import Output
    from comsl.languages import plain_codes

    output = Output(args.out, args.nj, args.max_dropped)
    langs, target_lang = plain_codes(args.langs).split(), plain_codes(args.target_lang)
    fleurs.prepare(args.fleurs, langs, target_lang, output)


if __name__ == "__main__":
    main()
