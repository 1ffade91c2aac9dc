"""Estimate disk, memory of each GPU and hours of each stage, from hours of audio and the machine.

The defaults are the published training: 5 epochs of the language model, 5 of the frozen phase, 10
of the joint one. `two-cores` with `embedded` is what egs2/asterisk runs on.
"""

import argparse
import re
from math import inf
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.errors import DataError


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--hours", required=True, type=float, help="hours of translated speech to train on")
    add("--clip_seconds", type=float, default=5.0, help="mean length of its clips, in seconds")
    add("--dev_hours", type=float, default=0.0, help="hours validated on after every epoch")
    add("--test_hours", type=float, default=0.0, help="hours decoded in stages 7 and 8")
    add(
        "--eval_clip_seconds",
        type=float,
        help="mean length of clips of dev and test, in seconds; without it as in training",
    )
    add("--model", choices=("embedded", "medium", "large"), default="medium")
    add("--device", default="a100", help="device of costs.json: two-cores, v100, a100 or h100")
    add("--gpus", type=int, default=1, help="how many devices train")
    add("--nj", type=int, default=8, help="processes that prepare data")
    add("--batch_size", type=int, default=8, help="clips that a device takes at a time")
    add("--epochs", default="5 5 10", help="epochs of language model, frozen phase and joint phase")
    add(
        "--trained_blocks",
        type=int,
        help="blocks of the speech encoder that train in the joint phase; without it all",
    )
    add(
        "--checkpointing",
        action="store_true",
        help="compute activations again instead of keeping them",
    )
    add("--costs", type=Path, help="measured costs in place of comsl/planning/costs.json")
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """DataError: a number that makes no sense, or epochs that aren't three numbers."""
    for name in ("hours", "clip_seconds", "eval_clip_seconds", "gpus", "nj", "batch_size"):
        if not 0 < getattr(args, name) < inf:
            raise DataError(f"--{name} {getattr(args, name)}: a number above 0, please")
    for name in ("dev_hours", "test_hours"):
        if not 0 <= getattr(args, name) < inf:
            raise DataError(f"--{name} {getattr(args, name)}: a number not below 0, please")
    number = r"\d+(\.\d+)?"
    if not re.fullmatch(rf"{number} {number} {number}", args.epochs):
        raise DataError(f"--epochs '{args.epochs}': three numbers, such as '5 5 10'")


@command
def main() -> None:
    """Print the tables."""
    args = parse_args()
    if args.eval_clip_seconds is None:
        args.eval_clip_seconds = args.clip_seconds
    check(args)
    from comsl.planning.plan import COSTS, Job, Plan, read_costs

    settings = {name: value for name, value in vars(args).items() if name != "costs"}
    settings["epochs"] = tuple(map(float, args.epochs.split()))
    plan = Plan(Job(**settings), read_costs(args.costs or COSTS))
    whole, trained = plan.parameters()
    print(f"ComSL {args.model}: {whole / 1e9:.3f} B parameters, {trained / 1e9:.3f} B trained\n")
    for table in plan.tables():
        print(f"{table.title}\n{table.format('simple')}")
        print(f"{table.note}\n")


if __name__ == "__main__":
    main()
