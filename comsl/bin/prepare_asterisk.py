"""Stage 1 of the embedded recipe: fetch the Asterisk prompts, clean, pair and split them."""

import argparse
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.downloads import DOWNLOADS
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("data/asterisk"), help="output directory")
    parser.add_argument("--langs", default="es fr it ru", help="source languages")
    parser.add_argument(
        "--target_lang", default="en", help="language of the translations; of several each"
    )
    parser.add_argument(
        "--local",
        type=Path,
        default=Path("egs2/asterisk/comsl1/local"),
        help="folder with corrections.tsv and mistranslated.tsv",
    )
    parser.add_argument(
        "--fold", type=int, default=0, help="which of 9 parts is the test set; the next one is dev"
    )
    parser.add_argument("--limit", type=int, help="utterances of a language and set, at most")
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parser().parse_args()
    from comsl.corpora import asterisk, asterisk_release

    split = asterisk.Split(args.fold)
    langs = args.langs.split()
    targets = args.target_lang.split()
    if not langs or not targets or (len(targets) == 1 and targets[0] in langs):
        raise DataError(
            f"--langs '{args.langs}': source languages, please; '{args.target_lang}' is the target"
        )
    all_langs = list(dict.fromkeys(["en", *langs, *targets]))
    releases = asterisk_release.fetch(all_langs, Path(DOWNLOADS))
    others = asterisk_release.fetch_other_voices(langs, Path(DOWNLOADS))
    asterisk.prepare(releases, langs, targets, args.local, args.out, split, args.limit, others)


if __name__ == "__main__":
    main()
