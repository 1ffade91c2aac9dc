"""Put Kaldi-style directories together into one; a missing transcript becomes an empty line.

With --held_out the first is a training set: what another repeats of it or of the sets held out, an
utterance or a sentence in either language, is left out and listed in repeated.tsv with the reason.
"""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora import kaldi
from comsl.corpora.dropped import write_dropped
from comsl.corpora.held_out import leave_out, read_held_out
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--held_out", help='sets beside the first directory, such as "dev test"')
    parser.add_argument("folders", type=Path, nargs="+", help="directories to combine")
    args = parser.parse_args()
    parts, dropped = [kaldi.read_dir(folder) for folder in args.folders], []
    if args.held_out:
        known = read_held_out(args.folders[0], args.held_out)
        for number, folder in enumerate(args.folders[1:], start=1):
            try:
                parts[number], repeated = leave_out(parts[number], known)
            except DataError as error:
                raise DataError(f"{folder}: {error}") from None
            dropped += repeated
    for folder, part in zip(args.folders, parts, strict=True):
        part.setdefault("text.src", dict.fromkeys(part["utt2lang"], ""))
        if odd := sorted(part.keys() ^ parts[0].keys()):
            raise DataError(f"{folder} and {args.folders[0]}: only one of them has {odd[0]}")
    whole = kaldi.combine(parts)
    kaldi.write_dir(args.out, whole)
    print(f"{args.out}: {len(whole['utt2lang'])} utterances")
    if args.held_out:
        write_dropped(args.out / "repeated.tsv", dropped)
        print(f"{len(dropped)} left out, see repeated.tsv")


if __name__ == "__main__":
    main()
