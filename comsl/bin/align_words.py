"""Find out when the words of sets are said, by Whisper (stage 10): `<set>_<lang>/words.ctm`."""

import argparse
from pathlib import Path

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table
from comsl.corpora.sets import sets_of
from comsl.corpora.waves import check_window, open_waves, read_waves
from comsl.parts import Job, add_options, make_part


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
                words = {
                    utterance: aligner.align(wave, texts[name][utterance], lang)
                    for utterance, wave in read_waves(job.share_of(waves[name]), name)
                }
                write_ctm(part / name / "words.ctm", words)

    make_part(args, [*(args.raw / name for name in sets), Path(args.whisper_model)], work)


if __name__ == "__main__":
    main()
