"""Stage 5: a training set as shards, which a training reads in sequence with little memory."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="the set (stage 2)")
    parser.add_argument("--encoder", type=Path, required=True, help="its states of the encoder")
    parser.add_argument("--teacher", type=Path, required=True, help="its states of the teacher")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--shard_utts", type=int, default=500, help="utterances a shard")
    args = parser.parse_args()
    if args.shard_utts < 1:
        raise DataError(f"--shard_utts {args.shard_utts}: at least one, please")
    from comsl.training.shard_writer import write_shards

    write_shards(args.raw, args.encoder, args.teacher, args.out, args.shard_utts)


if __name__ == "__main__":
    main()
