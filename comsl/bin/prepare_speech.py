"""Stage 2: audio to 16 kHz mono, unusable utterances dropped, languages combined."""

import argparse
import os
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="stage 1's directory")
    parser.add_argument("--out", type=Path, required=True, help="output directory")
    parser.add_argument("--langs", required=True, help='source languages, such as "fr it"')
    parser.add_argument("--min_duration", type=float, default=0.1, help="shortest clip, seconds")
    parser.add_argument("--max_duration", type=float, default=30.0, help="longest clip, seconds")
    parser.add_argument(
        "--max_dropped", type=float, default=0.05, help="share of clips that may be dropped"
    )
    parser.add_argument(
        "--speed_factors", default="", help='speeds of training copies, such as "0.9 1.1"'
    )
    parser.add_argument(
        "--augmented_copies",
        type=int,
        default=0,
        help="training copies as over telephones, in rooms, with noise",
    )
    parser.add_argument("--speech_encoder", default="base", help="the one that will hear the clips")
    parser.add_argument("--nj", type=int, default=os.cpu_count(), help="parallel processes")
    return parser


def speeds(text: str) -> list[float]:
    """Factors other than 1, which every set has. DataError: not a number from 0.5 to 2."""
    try:
        factors = [float(word) for word in text.split()]
    except ValueError:
        factors = [0.0]
    if any(not 0.5 <= factor <= 2 for factor in factors):
        raise DataError(f"--speed_factors '{text}': numbers from 0.5 to 2, please")
    if len({f"{factor:g}" for factor in factors}) < len(factors):
        raise DataError(f"--speed_factors '{text}': one of them is there twice")
    return [factor for factor in factors if factor != 1]


@command
def main() -> None:
    """Prepare the speech of all sets."""
    args = parser().parse_args()
    factors = speeds(args.speed_factors)
    if args.augmented_copies < 0:
        raise DataError(f"--augmented_copies {args.augmented_copies}: 0 or more, please")
    if args.nj < 1:
        raise DataError(f"--nj {args.nj}: at least one process, please")
    from comsl.corpora import speech
    from comsl.encoders.choices import encoder_class

    window = encoder_class(args.speech_encoder).window
    if args.max_duration > window:
        raise DataError(
            f"--max_duration {args.max_duration:g}: the speech encoder hears {window:g} s, longer"
            " clips have to be cut"
        )
    copies = [speech.Copy(f"sp{factor:g}-", speed=factor) for factor in factors]
    for number in range(1, args.augmented_copies + 1):
        copies.append(speech.Copy(f"au{number}-", augmented=True))
    limits = speech.Limits(args.min_duration, args.max_duration, args.max_dropped)
    speech.prepare(args.data, args.out, args.langs.split(), limits, copies, args.nj)


if __name__ == "__main__":
    main()
