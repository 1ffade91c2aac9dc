"""Write the shape files that ESPnet batches by: tokens of both texts of every utterance."""

import argparse
from pathlib import Path

from comsl.cli import command
from comsl.data.kaldi import read_table, write_table
from comsl.errors import DataError


@command
def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--language_model", required=True, help="mBART: hub id or folder")
    parser.add_argument("--max_tokens", type=int, default=256, help="Longest text, in tokens")
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        help="Kaldi-style folders; source_shape and target_shape are written into them",
    )
    args = parser.parse_args()

    from comsl.tokenizer import Tokenizer

    tokenizer = Tokenizer(args.language_model)
    for folder in args.folders:
        for text, shape in (("text.src", "source_shape"), ("text.tgt", "target_shape")):
            table = read_table(folder / text)
            lengths = tokenizer.lengths(list(table.values()))
            for utterance, length in zip(table, lengths, strict=True):
                if length > args.max_tokens:
                    raise DataError(
                        f"{folder / text}: {utterance} has {length} tokens, more than "
                        f"{args.max_tokens}: shorten or remove it, or raise --max_tokens"
                    )
            write_table(folder / shape, dict(zip(table, map(str, lengths), strict=True)))


if __name__ == "__main__":
    main()
