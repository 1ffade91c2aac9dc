"""What a training step costs without one or more of its objectives, against the whole method.

The experiment's own data and settings, the same batches for all. Needs stages 1 to 6.
"""

import argparse
from pathlib import Path

from benchmarks.common import parser, report, row
from benchmarks.train_step import Training, configuration, count_flops, measure

ALL = "all objectives"
OFF = {
    "without CML": {"w_cml": 0},
    "without ASR": {"w_asr": 0},
    "without MT regularisation": {"alpha_mt": 0},
    "without CML, ASR": {"w_cml": 0, "w_asr": 0},
    "ST alone": {"w_cml": 0, "w_asr": 0, "w_mt": 0, "alpha_st": 0},
}


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=5)
    options.add_argument("--experiment", type=Path, default=Path("exp/asterisk/asterisk_joint"))
    options.add_argument("--batches", type=int, default=5, help="in a round")
    return options.parse_args()


def build(name: str, options: argparse.Namespace) -> Training:
    """The experiment's training, its model changed."""
    args = configuration(options.experiment)
    args.model_conf = args.model_conf | OFF.get(name, {})
    return Training(args, options.batches)


def main() -> None:
    """Measure and report."""
    options = parse_args()
    trainings, seconds, memory = measure(build, [ALL, *OFF], options)
    rows = []
    for name in OFF:
        rows.append(row(name, seconds[name], seconds[ALL], "s a round", "lower"))
        rows.append(row(name, memory[name], memory[ALL], "GiB at most", "lower"))
    utterances = len(trainings[ALL].utterances)
    notes = {
        f"{name}: GFLOP an utterance": round(count_flops(training) / utterances / 1e9, 2)
        for name, training in trainings.items()
    }
    report(rows, options, notes)


if __name__ == "__main__":
    main()
