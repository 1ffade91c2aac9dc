"""When the words of sets are said, by Whisper: `<set>_<lang>/words.ctm` (stage 10)."""

import argparse
import logging
import time
from pathlib import Path

from comsl.cli import command
from comsl.languages import sets_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--raw", required=True, type=Path, help="folder with <set>_<lang> (stage 2)")
    add("--set", default="test", help="the set to align")
    add("--langs", required=True, help='Common Voice codes, such as "es fr"')
    add("--speech_encoder", default="base", help="Whisper model or path of a checkpoint")
    add("--out", required=True, type=Path, help="gets <set>_<lang>/words.ctm")
    add("--ngpu", type=int, default=0, help="0: CPU, else one GPU is used")
    return parser.parse_args()


@command
def main() -> None:
    """Align the set in every language; what was made from the same audio and texts is kept."""
    args = parse_args()
    sets = sets_of(args.set, args.langs)

    from comsl.corpora.kaldi import atomic_dir, read_table, write_text
    from comsl.corpora.waves import (
        STAMP,
        check_window,
        count_samples,
        fingerprint,
        is_made_from,
    )
    from comsl.evaluation.word_alignment import WordAligner, write_ctm

    aligner = None
    for name, lang in sets.items():
        waves, texts = (read_table(args.raw / name / field) for field in ("wav.scp", "text.src"))
        inputs = fingerprint(waves, args.speech_encoder, texts)
        if is_made_from(args.out / name, inputs):
            logging.info("%s: up to date", args.out / name)
            continue
        aligner = aligner or WordAligner(args.speech_encoder, "cuda" if args.ngpu else "cpu")
        check_window(count_samples(waves), aligner.encoder.max_samples())
        words = align(aligner, waves, texts, lang, name)
        with atomic_dir(args.out / name) as temporary:
            write_ctm(temporary / "words.ctm", words)
            write_text(temporary / STAMP, inputs + "\n")


def align(aligner, waves: dict[str, str], texts: dict[str, str], lang: str, name: str) -> dict:
    """Utterance -> its words, with a line of progress now and then."""
    from comsl.corpora.waves import read_wave

    words, start = {}, time.monotonic()
    for utterance, path in waves.items():
        words[utterance] = aligner.align(read_wave(utterance, path), texts[utterance], lang)
        if len(words) % 100 == 0 or len(words) == len(waves):
            seconds = time.monotonic() - start
            logging.info("%s: %d/%d aligned, %.0f s", name, len(words), len(waves), seconds)
    return words


if __name__ == "__main__":
    main()
