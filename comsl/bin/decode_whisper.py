"""Translate and transcribe with Whisper, as it is or fine-tuned: baselines (stage 8)."""

import argparse
import logging
from pathlib import Path

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.sets import test_sets
from comsl.corpora.waves import open_waves
from comsl.errors import DataError
from comsl.files import atomic_dir
from comsl.languages import language
from comsl.parts import Job, add_options, make_part
from comsl.settings_file import read_search

TASKS = ("st", "asr")


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add_sets(parser, "sets to decode")
    add("--tasks", default="st asr", help='what to decode: "st", "asr" or both')
    add(
        "--target_lang", default="en", help="other than English: published Whisper only transcribes"
    )
    add("--out", required=True, type=Path, help="gets <set>_<lang>/text.{st,asr}")
    add("--whisper_model", default="base", help="name of a Whisper model, or path of a checkpoint")
    add(
        "--silence",
        type=float,
        help="hear clips at their own length with so many seconds of silence after them, as a"
        " fine-tuned Whisper was trained; without it: in windows of 30 s",
    )
    add("--beam_size", type=int, default=5, help="hypotheses of the beam search")
    add("--batch_size", type=int, default=8, help="utterances decoded together")
    add("--decode_config", type=Path, help="YAML of such settings, which it sets")
    add_options(parser)
    return parser.parse_args()


@command
def main() -> None:
    """Decode every set in every language, all tasks from the same states."""
    args = parse_args()
    if args.decode_config:
        vars(args).update(read_search(args.decode_config))
    tasks = args.tasks.split()
    if not tasks or not set(tasks) <= set(TASKS):
        raise DataError(f"--tasks '{args.tasks}': known are {' '.join(TASKS)}")
    if args.target_lang != "en":
        logging.warning(
            "Whisper translates into English only: no translation into '%s'", args.target_lang
        )
        tasks = ["asr"]  # for the cascade
    sets = test_sets(args.raw, args.set, args.langs)
    waves = {name: open_waves(read_table(args.raw / name / "wav.scp")) for name in sets}

    def work(part: Path, job: Job) -> None:
        from comsl.baselines.whisper_decoding import at_own_length, decode_set, in_windows
        from comsl.encoders.whisper_weights import load_whisper

        model = load_whisper(args.whisper_model).to(job.device(args.ngpu))
        windows = args.silence is None
        listen = in_windows(model) if windows else at_own_length(model, args.silence)
        for name, lang in sets.items():
            if (part / name).is_dir():  # of an interrupted run
                continue
            mine = job.share_of(waves[name])
            search = {"beam_size": args.beam_size, "batch_size": args.batch_size}
            code = language(lang).whisper
            texts = decode_set(model, listen, mine, code, tasks, **search, name=name)
            with atomic_dir(part / name) as temporary:
                for task in tasks:
                    write_table(temporary / f"text.{task}", texts[task])

    make_part(args, [*(args.raw / name for name in sets), Path(args.whisper_model)], work)


if __name__ == "__main__":
    main()
