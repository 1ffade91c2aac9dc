"""Stage 1 of egs2/mtedx, must_c and europarl_st: translated segments of long recordings."""

import argparse
from pathlib import Path

from comsl.cli import command, corpus_parser, parse_corpus


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = corpus_parser(__doc__, "data/mtedx")
    parser.add_argument(
        "--corpus", required=True, choices=("mtedx", "must_c", "europarl_st"), help="which one"
    )
    parser.add_argument("--source", type=Path, required=True, help="folder of it, archives or not")
    parser.add_argument("--target_lang", default="en", help="language of the translations")
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parse_corpus(parser())
    from comsl.corpora.by_language import Output
    from comsl.corpora.europarl_st import EuroparlSt
    from comsl.corpora.segments import prepare
    from comsl.corpora.talks import Mtedx, MustC

    layout = {"mtedx": Mtedx, "must_c": MustC, "europarl_st": EuroparlSt}[args.corpus]()
    output = Output(args.out, args.nj, args.max_dropped)
    prepare(layout, args.source, args.langs.split(), args.target_lang, output)


if __name__ == "__main__":
    main()
