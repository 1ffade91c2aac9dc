"""Put the test sets of several splits of a corpus (folds) together, and what systems made of them.

`--out` gets raw/<set>_<lang> and <system>/<set>_<lang>/text.<task>, for comsl.bin.score.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from comsl.bin.score import parse_systems
from comsl.cli import command, new_parser
from comsl.corpora import kaldi
from comsl.corpora.sets import sets_of
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add(
        "--fold",
        nargs=2,
        type=Path,
        action="append",
        required=True,
        metavar=("RAW", "EXP"),
        help="a fold's sets (stage 2), and the folder of its experiments; may be repeated",
    )
    add("--set", default="test", help="the set that the folds share out")
    add("--langs", required=True, help='its languages, such as "fr it"')
    add(
        "--system",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="a system's translations are in EXP/DIR; may be repeated",
    )
    add("--out", type=Path, required=True, help="folder to write")
    return parser


@command
def main() -> None:
    """Command-line entry."""
    args = parser().parse_args()
    systems = parse_systems(args.system)
    raws, experiments = zip(*args.fold, strict=True)
    for name in sets_of(args.set, args.langs):
        rows = kaldi.merge_rows(kaldi.read_rows(raw / name) for raw in raws)
        number = kaldi.write_rows(args.out / "raw" / name, rows)
        print(f"{args.out / 'raw' / name}: {number} utterances")
        for system, folder in systems.items():
            parts = [texts(experiment / folder / name) for experiment in experiments]
            kaldi.write_rows(args.out / system / name, kaldi.merge_rows(parts))


def texts(folder: Path) -> Iterator[kaldi.Row]:
    """What a system made of a set. DataError: nothing."""
    from comsl.evaluation.scoring import REFERENCES

    files = {f"text.{task}": folder / f"text.{task}" for task in REFERENCES}
    there = {field: path for field, path in files.items() if path.is_file()}
    if not there:
        raise DataError(f"{folder}: nothing is decoded here (stages 7 and 8)")
    return kaldi.rows_of(
        {field: kaldi.iter_table(path, empty_ok=True) for field, path in there.items()}
    )


if __name__ == "__main__":
    main()
