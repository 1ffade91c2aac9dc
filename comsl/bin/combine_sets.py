"""Put Kaldi-style directories together into one; a missing transcript becomes an empty line."""

import argparse
from pathlib import Path

from comsl.cli import command
from comsl.corpora import kaldi
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("folders", type=Path, nargs="+", help="directories to combine")
    args = parser.parse_args()
    parts = [kaldi.read_dir(folder) for folder in args.folders]
    for folder, part in zip(args.folders, parts, strict=True):
        part.setdefault("text.src", dict.fromkeys(part["utt2lang"], ""))
        if odd := sorted(part.keys() ^ parts[0].keys()):
            raise DataError(f"{folder} and {args.folders[0]}: only one of them has {odd[0]}")
    whole = kaldi.combine(parts)
    kaldi.write_dir(args.out, whole)
    print(f"{args.out}: {len(whole['utt2lang'])} utterances")


if __name__ == "__main__":
    main()
