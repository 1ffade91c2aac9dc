"""States of the frozen speech encoder as compressed Kaldi arks, and their shapes (stage 5)."""

import argparse
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.parts import Job, add_options, make_part

COMPRESSION = 3  # Kaldi's method of two bytes a value


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--raw", required=True, type=Path, help="folder with the sets (stage 2)")
    add("--out", required=True, type=Path, help="gets <set>/feats.scp")
    add("--sets", required=True, help='sets to encode, such as "train dev"')
    add("--speech_encoder", default="base", help="name or path of a model")
    add("--language_model", help="folder of the one that must have room for the states (stage 3)")
    add("--silence", type=float, default=0.5, help="seconds of silence appended")
    add(
        "--top_blocks",
        type=int,
        default=0,
        help="write the states below so many last blocks; 0: the output",
    )
    add(
        "--batch_seconds",
        type=float,
        default=120,
        help="seconds of audio in a batch, padding included",
    )
    add("--shard_utts", type=int, default=5000, help="utterances an ark; a restart keeps arks")
    add_options(parser)
    return parser.parse_args()


@command
def main() -> None:
    """Encode the sets, one after the other; of each the job's share."""
    args = parse_args()
    from comsl.training.encoder_states import EncoderStates, Settings

    settings = Settings(
        args.speech_encoder,
        args.silence,
        args.top_blocks,
        COMPRESSION,
        args.shard_utts,
    )
    positions = None
    if args.language_model:
        from transformers import AutoConfig

        positions = AutoConfig.from_pretrained(args.language_model).max_position_embeddings
    sets = args.sets.split()

    def extract(part: Path, job: Job) -> None:
        device = job.device(args.ngpu)
        states = EncoderStates(settings, args.batch_seconds, device, "downloads")
        for name in sets:
            states.extract(args.raw / name, part / name, positions, job)

    reads = [*(args.raw / name for name in sets), Path(args.speech_encoder)]
    make_part(args, reads, extract)


if __name__ == "__main__":
    main()
