"""Check configurations of trainings before the first of them runs."""

from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora.sets import check_further_sets


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add(
        "configs",
        nargs="*",
        help="training configurations of ComSL or of its language model; empty ones are none",
    )
    add("--whisper", default="", help="training configuration of Whisper")
    add("--override", default="", help="override files for all but Whisper's, separated by blanks")
    add("--text_pairs", help="sentence pairs of the trainings that have speech")
    add("--raw", type=Path, help="folder of sets (stage 2)")
    add("--sets", default="", help="further sets that a training reads, which must be there")
    args = parser.parse_args()
    check_further_sets(args.raw, args.sets)

    from comsl.baselines.whisper_task import WhisperTask
    from comsl.training.command_line import espnet_words
    from comsl.training.task import ComSLTask

    overrides = [word for file in args.override.split() for word in ("--override", file)]
    for task, configs, further in (
        (ComSLTask, args.configs, overrides),
        (WhisperTask, [args.whisper], []),
    ):
        for config in filter(None, configs):
            words = espnet_words(["--config", config, *further])
            training = task.get_parser().parse_args(words)
            if training.speech_encoder:
                training.text_pairs = args.text_pairs
            task.check(training)


if __name__ == "__main__":
    main()
