"""Synthetic training speech: the source side of sentence pairs, spoken in many voices.

Stopped and started again, it goes on."""

import argparse
from contextlib import closing
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.downloads import DOWNLOADS
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--pairs", type=Path, required=True, help="folder with train_<lang>, text.src and text.tgt")
    add("--langs", required=True, help="languages")
    add("--engine", default="espeak", help="what speaks: espeak, kokoro, pico or rhvoice")
    add("--number", type=int, default=1500, help="pairs of each language")
    add("--min_words", type=int, default=3, help="fewest words of a translation")
    add("--max_words", type=int, default=14, help="most words of a translation")
    add("--near", type=Path, help="table of texts that the translations of half the pairs resemble")
    add("--out", type=Path, required=True, help="folder for plan_<lang>.tsv and spoken_<lang>")
    return parser


@command
def main() -> None:
    """Plan what isn't planned yet, speak what isn't spoken yet."""
    args = parser().parse_args()
    if args.number < 1:
        raise DataError(f"--number {args.number}: at least one pair, please")

    from comsl.corpora import spoken
    from comsl.corpora.engines import engine_of
    from comsl.corpora.kaldi import read_table
    from comsl.languages import language

    with closing(engine_of(args.engine, Path(DOWNLOADS))) as engine:
        near = read_table(args.near).values() if args.near else ()
        words = args.min_words, args.max_words
        chosen = {
            lang: spoken.choose(
                args.pairs / f"train_{language(lang).code}", args.number, words, near
            )
            for lang in args.langs.split()
        }
        plans = {
            lang: spoken.plan(args.out / f"plan_{lang}.tsv", lang, engine.voices(lang), pairs)
            for lang, pairs in chosen.items()
        }
        spoken.speak(plans, engine, args.out)


if __name__ == "__main__":
    main()
