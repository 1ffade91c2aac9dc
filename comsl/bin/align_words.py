"""Find out when the words of sets are said, by Whisper (stage 10): `<set>_<lang>/words.ctm`."""

import argparse
import logging
import time
from pathlib import Path

import numpy as np

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table
from comsl.corpora.sets import sets_of
from comsl.corpora.waves import Wave, check_window, open_waves
from comsl.parts import Job, add_options, make_part
from comsl.read_ahead import read_ahead


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add_sets(parser, "set to align")
    add("--whisper_model", default="base", help="name of a Whisper model, or path of a checkpoint")
    add("--out", required=True, type=Path, help="gets <set>_<lang>/words.ctm")
    add_options(parser)
    return parser.parse_args()


@command
def main() -> None:
    """Align the set in every language."""
    args = parse_args()
    sets = sets_of(args.set, args.langs)
    waves = {name: open_waves(read_table(args.raw / name / "wav.scp")) for name in sets}
    texts = {name: read_table(args.raw / name / "text.src") for name in sets}

    def work(part: Path, job: Job) -> None:
        from comsl.evaluation.word_alignment import WordAligner, write_ctm

        aligner = WordAligner(args.whisper_model, job.device(args.ngpu))
        window = aligner.encoder.max_samples()
        for table in waves.values():
            check_window({key: len(wave) for key, wave in table.items()}, window)
        for name, lang in sets.items():
            if not (part / name / "words.ctm").is_file():  # else of an interrupted run
                words = align(aligner, job.share_of(waves[name]), texts[name], lang, name)
                write_ctm(part / name / "words.ctm", words)

    make_part(args, [*(args.raw / name for name in sets), Path(args.whisper_model)], work)


def align(aligner, waves: dict[str, Wave], texts: dict[str, str], lang: str, name: str) -> dict:
    """Utterance -> its words, with a line of progress now and then."""
    words, start = {}, time.monotonic()
    for utterance, wave in read_ahead(lambda utterance: np.asarray(waves[utterance]), waves):
        words[utterance] = aligner.align(wave, texts[utterance], lang)
        if len(words) % 100 == 0 or len(words) == len(waves):
            seconds = time.monotonic() - start
            logging.info("%s: %d/%d aligned, %.0f s", name, len(words), len(waves), seconds)
    return words


if __name__ == "__main__":
    main()
