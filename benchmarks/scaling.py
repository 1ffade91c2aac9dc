"""Time against hours of audio: encoder states and training on 1x, 4x and 16x the same speech.

Repeats of a few utterances of the experiment's training set become corpora of different size; each
is extracted (stage 5) and trained on for an epoch (frozen phase). A power law is fitted: an
exponent of 1 is linear. Needs stages 1 to 6.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.common import interleave, parser, report, row

COPIES = (1, 4, 16)


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=2)
    options.add_argument("--experiment", type=Path, default=Path("exp/asterisk/asterisk_joint"))
    options.add_argument("--utterances", type=int, default=60, help="in the smallest corpus")
    return options.parse_args()


class Corpus:
    """Some utterances of a training set, each several times over."""

    def __init__(self, args: argparse.Namespace, utterances: int, copies: int, folder: Path):
        from comsl.corpora.kaldi import read_table, write_table

        self.args, self.raw = argparse.Namespace(**vars(args)), folder / "raw"
        self.encoder = folder / "encoder"
        source = Path(args.train_data_path_and_name_and_type[0][0]).parent
        keys = sorted(read_table(source / "wav.scp"))
        keys = keys[:: max(1, len(keys) // utterances)][:utterances]
        for name in ("wav.scp", "text.src", "text.tgt", "utt2lang", "source_shape", "target_shape"):
            table = read_table(source / name)
            copied = {f"{key}-{i:02}": table[key] for key in keys for i in range(copies)}
            write_table(self.raw / name, copied)
        self.seconds = self._measure(read_table(self.raw / "wav.scp"))

    def _measure(self, wav_scp: dict[str, str]) -> float:
        from comsl.corpora.samples import RATE
        from comsl.corpora.waves import count_samples

        return sum(count_samples(wav_scp).values()) / RATE

    def extract(self) -> None:
        """Encoder states, from the beginning."""
        import shutil

        from comsl.training.encoder_states import EncoderStates, Settings

        shutil.rmtree(self.encoder, ignore_errors=True)
        encoder = self.args.speech_encoder_conf
        settings = Settings(encoder["model"], encoder["silence"], 0, 3, 5000)
        EncoderStates(settings, 120, "cpu", "downloads").extract(self.raw, self.encoder)

    def training(self):
        """An epoch of the frozen phase, ready to run."""
        from benchmarks.train_step import Training

        args = self.args
        args.train_data_path_and_name_and_type = [
            (str(self.raw / "text.src"), "source_text", "text"),
            (str(self.raw / "text.tgt"), "target_text", "text"),
            (str(self.raw / "utt2lang"), "lang", "text"),
            (str(self.encoder / "feats.scp"), "speech", "kaldi_ark"),
        ]
        shapes = [self.raw / "source_shape", self.raw / "target_shape"]
        shapes.append(self.encoder / "speech_shape")
        args.train_shape_file = [str(shape) for shape in shapes]
        return Training(args, batches=None)


def fit(hours: list[float], seconds: list[float]) -> tuple[float, float]:
    """Exponent of `seconds ~ hours ** exponent`, and R^2 of the straight line through both."""
    import numpy as np

    exponent = np.polyfit(np.log(hours), np.log(seconds), 1)[0]
    return float(exponent), float(np.corrcoef(hours, seconds)[0, 1] ** 2)


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    from benchmarks.train_step import configuration

    torch.set_num_threads(options.threads)
    args = configuration(options.experiment / "frozen", uncached=("teacher",))
    with tempfile.TemporaryDirectory() as folder:
        corpora = {n: Corpus(args, options.utterances, n, Path(folder) / str(n)) for n in COPIES}
        work = {("extraction", n): corpus.extract for n, corpus in corpora.items()}
        seconds = interleave(work, options.repeats)
        work = {("frozen epoch", n): corpus.training().run for n, corpus in corpora.items()}
        seconds |= interleave(work, options.repeats)
    hours = [corpus.seconds / 3600 for corpus in corpora.values()]
    rows, notes = [], {}
    for what in ("extraction", "frozen epoch"):
        times = [seconds[what, n] for n in COPIES]
        for n, hour, time in zip(COPIES, hours, times, strict=True):
            # The baseline is what proportion predicts from the smallest corpus.
            rows.append(row(f"{what}, {hour:.2f} h", time, n * times[0], "s", "lower"))
        exponent, r2 = fit(hours, times)
        notes[f"{what}: exponent"] = round(exponent, 3)
        notes[f"{what}: R^2"] = round(r2, 5)
    report(rows, options, notes)


if __name__ == "__main__":
    main()
