"""Translate and transcribe with Whisper, as it is or fine-tuned: baselines (stage 8)."""

import argparse
import logging
from itertools import product
from pathlib import Path

from comsl.cli import command
from comsl.errors import DataError

TASKS = ("st", "asr")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--raw", required=True, type=Path, help="folder with <set>_<lang> (stage 2)")
    add("--sets", required=True, help='sets to decode, such as "test"')
    add("--langs", required=True, help='Common Voice codes, such as "es fr"')
    add("--tasks", default="st asr", help="one of them or both")
    add("--out", required=True, type=Path, help="gets <set>_<lang>/text.{st,asr}")
    add("--speech_encoder", default="base", help="Whisper model or path of a checkpoint")
    add("--beam_size", type=int, default=5, help="beams of an utterance")
    add("--batch_size", type=int, default=8, help="utterances decoded together")
    add("--ngpu", type=int, default=0, help="0: CPU, else one GPU is used")
    add("--downloads", default="downloads", help="where weights are kept")
    return parser.parse_args()


@command
def main() -> None:
    """Decode every set in every language, all tasks from the same encoded windows."""
    args = parse_args()
    from comsl.corpora.kaldi import atomic_dir, read_table, write_table, write_text
    from comsl.corpora.waves import STAMP, fingerprint, is_made_from
    from comsl.languages import language

    tasks = args.tasks.split()
    if not tasks or not set(tasks) <= set(TASKS):
        raise DataError(f"--tasks '{args.tasks}': known are {' '.join(TASKS)}")
    langs = [language(code) for code in args.langs.split()]
    model_id = args.speech_encoder
    if Path(model_id).is_file():  # what is published stays as it is, a file may be made anew
        model_id += f" {Path(model_id).stat().st_mtime_ns}"
    model = None
    for name, lang in product(args.sets.split(), langs):
        folder = f"{name}_{lang.code}"
        wav_scp = read_table(args.raw / folder / "wav.scp")
        inputs = fingerprint(wav_scp, model_id, args.beam_size, tasks)
        if is_made_from(args.out / folder, inputs):
            logging.info("%s: up to date", folder)
            continue
        model = model or _load(args)
        texts = _decode(args, model, wav_scp, lang.whisper, tasks, folder)
        with atomic_dir(args.out / folder) as temporary:
            for task in tasks:
                write_table(temporary / f"text.{task}", texts[task])
            write_text(temporary / STAMP, inputs + "\n")


def _load(args: argparse.Namespace):
    from comsl.encoders.whisper_weights import load_whisper

    model = load_whisper(args.speech_encoder, args.downloads)
    return model.to("cuda" if args.ngpu else "cpu")


def _decode(args, model, wav_scp: dict[str, str], lang: str, tasks: list[str], name: str) -> dict:
    from comsl.baselines.whisper_decoding import decode_set

    return decode_set(
        model,
        wav_scp,
        lang,
        tasks,
        beam_size=args.beam_size,
        batch_size=args.batch_size,
        name=name,
    )


if __name__ == "__main__":
    main()
