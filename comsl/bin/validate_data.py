"""Check Kaldi-style directories: given ones, or those inside a given folder."""

import argparse
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora import kaldi
from comsl.corpora.sets import text_fields
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__)
    parser.add_argument("folder", type=Path, nargs="+", help="a set, or a folder of sets")
    return parser


def find_sets(folder: Path) -> list[Path]:
    """`folder` itself if it has tables, else those of its folders that have."""
    candidates = [folder, *sorted(folder.glob("*/"))]
    fields = (*kaldi.TEXT_FIELDS, *kaldi.AUDIO_FIELDS, "text.tgt")
    sets = [path for path in candidates if any((path / field).exists() for field in fields)]
    if not sets:
        raise DataError(f"{folder}: no Kaldi-style directory (text.src, utt2lang ...) in it")
    return sets


@command
def main() -> None:
    """Check every set; a set without any audio table is text only."""
    for folder in parser().parse_args().folder:
        for path in find_sets(folder):
            audio = any((path / field).exists() for field in (*kaldi.AUDIO_FIELDS, "spk2utt"))
            count = kaldi.validate_dir(path, audio, text_fields(path.name))
            print(f"{path}: {count} utterances")


if __name__ == "__main__":
    main()
