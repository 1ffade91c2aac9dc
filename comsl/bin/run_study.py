"""Run a study for run.sh (comsl/evaluation/study_run.py): every row on every fold, the table."""

import argparse

from comsl.cli import command, new_parser


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--options", required=True, help="all options of run.sh, lines name=value")
    add("--decode", default="decode", help="an experiment's folder of translations")
    add("--command", required=True, help="the user's command, to be quoted")
    add("words", nargs=argparse.REMAINDER, help="after --: the options that the user gave")
    args = parser.parse_args()

    from comsl.evaluation.study_run import Study, run
    from comsl.options import read_options

    options, words = read_options(args.options), args.words[1:]
    run(Study(options, words, args.decode, args.command))


if __name__ == "__main__":
    main()
