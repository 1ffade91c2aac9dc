"""Check configurations of trainings before the first of them runs."""

import argparse
from pathlib import Path
from typing import NoReturn

from comsl.cli import command, new_parser
from comsl.corpora.kaldi import validate_dir
from comsl.corpora.sets import check_further_sets, check_test_set
from comsl.errors import DataError


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
    add(
        "--override",
        default="",
        help="override files of the trainings that have speech, separated by blanks",
    )
    add("--text_pairs", default="", help="sentence pairs of the trainings that have speech")
    add("--test_set", default="", help="test sets, of which the first must be there")
    add("--langs", default="", help="source languages, in which it must be there")
    add("--frozen_phase", default="some", help="run.sh's: whether one training follows the other")
    add("--lm_share", type=float, default=1.0, help="share of the language model's weights kept")
    add("--target_lang", default="en", help="language of the translations, or all of them")
    add("--raw", type=Path, help="folder of sets (stage 2)")
    add("--sets", default="", help="further sets that a training reads, which must be there")
    args = parser.parse_args()
    check_further_sets(args.raw, args.sets, args.target_lang)
    if args.text_pairs:
        validate_dir(args.text_pairs, audio=False)

    from comsl.baselines.whisper_task import WhisperTask
    from comsl.model.build import lora_conf
    from comsl.model.lora import lora_shapes
    from comsl.training.task import ComSLTask

    overrides = [word for file in args.override.split() for word in ("--override", file)]
    phases = []  # of the composite model
    for config in filter(None, args.configs):
        training = _parse(ComSLTask, config)
        if training.speech_encoder:  # not the language model's
            training = _parse(ComSLTask, config, *overrides)
            training.text_pairs = args.text_pairs
            check_test_set(args.raw, args.test_set, args.langs)
            phases.append(training)
        elif lora_conf(training) and args.lm_share != 1:
            raise DataError(f"{config}: with LoRA --lm_share must be 1, not {args.lm_share}")
        ComSLTask.check(training)
    added = [lora_shapes(lora_conf(phase)) for phase in phases]
    if args.frozen_phase == "some" and any(shapes != added[0] for shapes in added):
        raise DataError(f"lora_conf: give both phases the same: {' '.join(args.configs)}")
    if args.whisper:
        WhisperTask.check(_parse(WhisperTask, args.whisper))


def _parse(task: type, config: str, *words: str) -> argparse.Namespace:
    """A configuration, with further options. DataError as `espnet_words`, or a setting that isn't
    one, or is of another type."""
    from comsl.training.command_line import espnet_words

    def refuse(message: str) -> NoReturn:  # in one line, where argparse adds all options
        raise DataError(f"{' '.join([config, *words[1::2]])}: {message}")

    parser = task.get_parser()
    parser.error = refuse
    return parser.parse_args(espnet_words(["--config", config, *words]))


if __name__ == "__main__":
    main()
