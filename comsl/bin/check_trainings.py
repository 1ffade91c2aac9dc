"""Check configurations of trainings: what can't be used is said before the first of them runs."""

from pathlib import Path

from comsl.cli import command, new_parser


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add(
        "configs",
        type=Path,
        nargs="*",
        help="training configurations of ComSL or of its language model",
    )
    add("--whisper", type=Path, nargs="*", default=[], help="training configurations of Whisper")
    add("--override", type=Path, nargs="*", default=[], help="override files for all but Whisper's")
    args = parser.parse_args()

    from comsl.baselines.whisper_task import WhisperTask
    from comsl.training.command_line import espnet_words
    from comsl.training.task import ComSLTask

    overrides = [word for file in args.override for word in ("--override", str(file))]
    for task, configs, further in (
        (ComSLTask, args.configs, overrides),
        (WhisperTask, args.whisper, []),
    ):
        for config in configs:
            words = espnet_words(["--config", str(config), *further])
            task.check(task.get_parser().parse_args(words))


if __name__ == "__main__":
    main()
