"""Negative log-likelihood of the references of sets, given their speech (teacher-forced ST)."""

from pathlib import Path

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.sets import test_sets
from comsl.corpora.targets import read_targets
from comsl.corpora.waves import open_waves, read_waves
from comsl.parts import Job, add_options, make_part


@command
def main() -> None:
    """One utterance at a time: its neighbours can't matter."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", required=True, help="experiment, checkpoint or packed model")
    add_sets(parser, "sets to score")
    parser.add_argument("--out", type=Path, required=True, help="<out>/<set>_<lang>/nll.st")
    add_options(parser)
    args = parser.parse_args()
    sets = test_sets(args.raw, args.set, args.langs)
    waves = {name: open_waves(read_table(args.raw / name / "wav.scp")) for name in sets}
    texts = {name: read_table(args.raw / name / "text.tgt") for name in sets}

    from comsl.inference import SpeechTranslator, choose_checkpoint

    model = choose_checkpoint(Path(args.model))

    def work(part: Path, job: Job) -> None:
        translator = SpeechTranslator.from_pretrained(model, job.device(args.ngpu))
        for table in waves.values():
            translator.check(table)
        for name, lang in sets.items():
            targets = read_targets(args.raw / name, texts[name], " ".join(translator.targets))
            lines = {}
            for key, wave in read_waves(job.share_of(waves[name]), name):
                nll, tokens = translator.score(wave, texts[name][key], lang, targets[key])
                lines[key] = f"{nll:.5f} {tokens}"
            write_table(part / name / "nll.st", lines)

    make_part(args, [model, *(args.raw / name for name in sets)], work)


if __name__ == "__main__":
    main()
