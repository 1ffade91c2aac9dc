"""Stage 1 of egs2/covost2: CoVoST 2 over Common Voice 4, untranslated clips of a later one."""

import argparse
import os
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("data/covost2"), help="output directory")
    parser.add_argument("--langs", required=True, help='source languages, such as "fr it"')
    parser.add_argument(
        "--common_voice", type=Path, required=True, help="folder of Common Voice 4: archives or not"
    )
    parser.add_argument(
        "--covost2", type=Path, required=True, help="folder of CoVoST 2's tables, fetched if absent"
    )
    parser.add_argument(
        "--later", default="", help="folder of a later Common Voice, to take untranslated_<lang> of"
    )
    parser.add_argument(
        "--pseudo_langs",
        default="",
        help="of --langs, those to take untranslated_<lang> of [groups mid and low]",
    )
    parser.add_argument("--nj", type=int, default=os.cpu_count(), help="parallel processes")
    parser.add_argument(
        "--max_dropped", type=float, default=0.05, help="share of clips that may be unusable"
    )
    return parser


@command
def main() -> None:
    """Prepare the corpus."""
    args = parser().parse_args()
    if args.nj < 1:
        raise DataError(f"--nj {args.nj}: at least one process, please")
    from comsl.corpora import covost2

    settings = covost2.Settings(
        args.common_voice, args.covost2, args.out, args.nj, args.max_dropped
    )
    pseudo_langs = args.pseudo_langs.split() or covost2.PSEUDO_LANGS
    later = Path(args.later) if args.later else None
    covost2.prepare(settings, args.langs.split(), later, list(pseudo_langs))


if __name__ == "__main__":
    main()
