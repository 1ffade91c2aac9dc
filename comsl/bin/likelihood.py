"""Negative log-likelihood of the references of sets, given their speech (teacher-forced ST)."""

import logging
import time
from pathlib import Path

import numpy as np

from comsl.cli import add_sets, command, new_parser
from comsl.corpora.kaldi import read_table, write_table
from comsl.corpora.sets import test_sets
from comsl.corpora.targets import read_targets
from comsl.corpora.waves import open_waves
from comsl.parts import Job, add_options, make_part
from comsl.read_ahead import read_ahead


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
            mine = job.share_of(waves[name])
            scores = score(translator, mine, texts[name], lang, targets, name)
            lines = {key: f"{nll:.5f} {tokens}" for key, (nll, tokens) in scores.items()}
            write_table(part / name / "nll.st", lines)

    make_part(args, [model, *(args.raw / name for name in sets)], work)


def score(
    translator, waves: dict, texts: dict[str, str], lang: str, targets: dict[str, str], name: str
) -> dict:
    """Utterance -> its loss and number of tokens, with a line of progress now and then."""
    scores, start = {}, time.monotonic()
    for key, wave in read_ahead(lambda key: np.asarray(waves[key]), waves):
        scores[key] = translator.score(wave, texts[key], lang, targets[key])
        if len(scores) % 100 == 0 or len(scores) == len(waves):
            mean = sum(nll for nll, _ in scores.values()) / sum(n for _, n in scores.values())
            done, seconds = f"{len(scores)}/{len(waves)}", time.monotonic() - start
            logging.info("%s: %s, %.3f nats a token, %.0f s", name, done, mean, seconds)
    return scores


if __name__ == "__main__":
    main()
