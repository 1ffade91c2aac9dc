"""Decoder states of the frozen language model as Kaldi arks, for MT's regularisation (stage 5)."""

import argparse
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.parts import Job, add_options, make_part


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--language_model", required=True, type=Path, help="folder of the model (stage 3)")
    add("--raw", required=True, type=Path, help="folder with the sets (stage 2)")
    add("--out", required=True, type=Path, help="gets <set>/feats.scp")
    add("--sets", required=True, help='sets to run over, such as "train dev"')
    add("--target_lang", default="en", help="language of text.tgt")
    add("--shard_utts", type=int, default=5000, help="utterances an ark; a restart keeps arks")
    add_options(parser)
    return parser.parse_args()


@command
def main() -> None:
    """Run over the sets, one after the other; of each the job's share."""
    args = parse_args()
    from comsl.training.teacher_states import TeacherStates

    sets = args.sets.split()

    def extract(part: Path, job: Job) -> None:
        device = job.device(args.ngpu)
        states = TeacherStates(args.language_model, args.target_lang, args.shard_utts, device)
        for name in sets:
            states.extract(args.raw / name, part / name, job)

    make_part(args, [*(args.raw / name for name in sets), args.language_model], extract)


if __name__ == "__main__":
    main()
