"""Put Kaldi-style directories together into one; a missing transcript becomes an empty line.

With --held_out the first is a training set: what another repeats of it or of the sets held out, an
utterance or a sentence in either language, is left out and listed in repeated.tsv with the reason.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora import kaldi
from comsl.corpora.dropped import Dropped, write_dropped
from comsl.corpora.held_out import read_held_out, usable
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--held_out", help='sets beside the first directory, such as "dev test"')
    parser.add_argument("folders", type=Path, nargs="+", help="directories to combine")
    args = parser.parse_args()
    train, *others = args.folders
    fields = {folder: {*kaldi.fields_of(folder), "text.src"} for folder in args.folders}
    for folder in others:
        if odd := sorted(fields[folder] ^ fields[train]):
            raise DataError(f"{folder} and {train}: only one of them has {odd[0]}")
    dropped: list[Dropped] = []
    parts = [kaldi.read_rows(folder) for folder in args.folders]
    if args.held_out:
        known = read_held_out(train.parent, args.held_out)
        parts[1:] = [usable(folder, train, known, dropped) for folder in others]
    number = kaldi.write_rows(args.out, kaldi.merge_rows(map(with_transcripts, parts)))
    print(f"{args.out}: {number} utterances")
    if args.held_out:
        write_dropped(args.out / "repeated.tsv", dropped)
        print(f"{len(dropped)} left out, see repeated.tsv")


def with_transcripts(rows: Iterable[kaldi.Row]) -> Iterator[kaldi.Row]:
    """Rows that have a transcript, if an empty one."""
    return ((utterance, {"text.src": ""} | values) for utterance, values in rows)


if __name__ == "__main__":
    main()
