"""Sentence pairs without speech for composite training, without those of the sets held out.

They come from a Kaldi-style directory; those left out are listed in repeated.tsv."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora import kaldi
from comsl.corpora.dropped import Dropped, write_dropped
from comsl.corpora.held_out import read_held_out, usable


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="directory with both texts")
    parser.add_argument("--raw", type=Path, required=True, help="stage 2's directory")
    parser.add_argument("--held_out", required=True, help='sets in it, such as "dev test"')
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    args = parser.parse_args()
    kaldi.validate_dir(args.pairs, audio=False)
    known = read_held_out(args.raw, args.held_out)
    dropped: list[Dropped] = []
    number = kaldi.write_rows(args.out, usable(args.pairs, args.raw / "train", known, dropped))
    write_dropped(args.out / "repeated.tsv", dropped)
    print(f"{args.out}: {number} sentence pairs; {len(dropped)} left out, see repeated.tsv")


if __name__ == "__main__":
    main()
