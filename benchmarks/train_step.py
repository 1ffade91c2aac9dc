"""Utterances a second and peak memory of training, against training as the authors published it.

Both take optimiser steps on the same utterances with the same dimensions. The baseline is
benchmarks/published.py on batches of --batch_size clips, padded or cut to 11 s; ours is what the
experiment's own configurations say, read through ESPnet's loader. Needs stages 1 to 6.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.common import interleave, matrix_peak, parser, peak_memory, report, row

SECONDS = 11.0  # to which published training pads or cuts every clip
BASELINES = ("frozen, published", "joint, published")
OURS = (
    "frozen, nothing cached",
    "frozen, encoder cached",
    "frozen, both cached",
    "joint, whole encoder",
    "joint, as configured",
)


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=3)
    options.add_argument("--experiment", type=Path, default=Path("exp/asterisk/asterisk_joint"))
    options.add_argument("--batches", type=int, default=5, help="of ours, in a round")
    options.add_argument("--batch_size", type=int, default=16, help="clips in a baseline's batch")
    return options.parse_args()


def configuration(path: Path, trainable_blocks: int | None = -1, uncached: tuple[str, ...] = ()):
    """An experiment's arguments, changed.

    trainable_blocks: of a Whisper encoder in place of what is there, None all; uncached: of
    "speech" and "teacher", what to compute in the step though it is on disk.
    """
    import yaml

    args = argparse.Namespace(**yaml.safe_load((path / "config.yaml").read_text()))
    names = args.train_data_path_and_name_and_type
    if "teacher" in uncached:
        names = [item for item in names if item[1] != "teacher"]
    if "speech" in uncached:
        audio = str(Path(names[0][0]).with_name("wav.scp"))
        names = [(audio, "speech", "sound") if item[1] == "speech" else item for item in names]
    args.train_data_path_and_name_and_type = names
    if trainable_blocks != -1:
        args.speech_encoder = "whisper"
        args.speech_encoder_conf = {
            "silence": args.speech_encoder_conf["silence"],
            "model": args.speech_encoder_conf["model"],
            "trainable_blocks": trainable_blocks,
        }
    return args


class Training:
    """Some batches of an experiment's data, and the model that takes steps on them.

    batches: how many, each from the middle of as many equal parts of all, by length; None all.
    """

    def __init__(self, args: argparse.Namespace, batches: int | None):
        import torch
        from espnet2.iterators.sequence_iter_factory import RawSampler
        from espnet2.train.distributed_utils import DistributedOption

        from comsl.training.task import ComSLTask

        torch.manual_seed(0)
        self.model = ComSLTask.build_model(args).train()
        (self.optimizer,) = ComSLTask.build_optimizers(args, self.model)
        self.factory = ComSLTask.build_iter_factory(args, DistributedOption(), mode="train")
        self.factory.num_iters_per_epoch = None
        by_length = self.factory.sampler.generate(0)
        batches = batches or len(by_length)
        places = [len(by_length) * (2 * i + 1) // (2 * batches) for i in range(batches)]
        self.factory.sampler = RawSampler([by_length[place] for place in places])
        self.utterances = [utterance for keys, _ in self.read() for utterance in keys]

    def read(self) -> Iterator[tuple[list[str], dict]]:
        """The batches by ESPnet's loader."""
        return iter(self.factory.build_iter(1))

    def run(self) -> None:
        """One step on every batch."""
        for utterances, batch in self.read():
            self.step(self.model(**batch, utt_id=utterances)[0])

    def step(self, loss) -> None:
        """An optimiser step."""
        import torch

        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 20.0)
        self.optimizer.step()


class PublishedTraining(Training):
    """The same utterances as published: all of SECONDS, in no order of length."""

    def __init__(self, args: argparse.Namespace, batches: int, batch_size: int):
        super().__init__(args, batches)
        from comsl.corpora.kaldi import read_table
        from comsl.training.task import ComSLTask

        self.batch_size = batch_size
        self.preprocess = ComSLTask.build_preprocess_fn(args, train=True)
        raw = Path(args.train_data_path_and_name_and_type[0][0]).parent
        names = ("wav.scp", "text.src", "text.tgt", "utt2lang")
        self.tables = [read_table(raw / name) for name in names]

    def run(self) -> None:
        from benchmarks.published import published_loss

        keys = sorted(self.utterances)
        for first in range(0, len(keys), self.batch_size):
            batch = self._batch(keys[first : first + self.batch_size])
            self.step(published_loss(self.model, *batch, None))

    def _batch(self, keys: list[str]):
        """Waveforms (B, samples) and both texts (B, L)."""
        import torch
        from torch.nn.functional import pad
        from torch.nn.utils.rnn import pad_sequence

        from comsl.corpora.samples import RATE
        from comsl.corpora.waves import read_wave

        samples, speech, texts = int(SECONDS * RATE), [], []
        for key in keys:
            path, source, target, lang = (table[key] for table in self.tables)
            wave = torch.from_numpy(read_wave(key, path))[:samples]
            speech.append(pad(wave, (0, samples - len(wave))))
            text = {"source_text": source, "target_text": target, "lang": lang}
            texts.append(self.preprocess(key, text))
        padded = (
            pad_sequence([torch.from_numpy(t[name]) for t in texts], True, -1)
            for name in ("source", "target")
        )
        return torch.stack(speech), *padded


Build = Callable[[str, argparse.Namespace], Training]  # by name; a module's function


def build(name: str, options: argparse.Namespace) -> Training:
    """One of the compared trainings, ready to run."""
    frozen, joint = options.experiment / "frozen", options.experiment
    everything = ("speech", "teacher")
    args = {
        "frozen, published": lambda: configuration(frozen, 0, everything),
        "frozen, nothing cached": lambda: configuration(frozen, 0, everything),
        "frozen, encoder cached": lambda: configuration(frozen, uncached=("teacher",)),
        "frozen, both cached": lambda: configuration(frozen),
        "joint, published": lambda: configuration(joint, None, ("teacher",)),
        "joint, whole encoder": lambda: configuration(joint, None),
        "joint, as configured": lambda: configuration(joint),
    }[name]()
    if name in BASELINES:
        return PublishedTraining(args, options.batches, options.batch_size)
    return Training(args, options.batches)


def run_once(build: Build, name: str, options: argparse.Namespace) -> None:
    """A round in a process of its own, for its memory."""
    import torch

    torch.set_num_threads(options.threads)
    build(name, options).run()


def measure(
    build: Build, names: Sequence[str], options: argparse.Namespace
) -> tuple[dict[str, Training], dict[str, float], dict[str, float]]:
    """By name: the trainings, seconds a round as they take turns, peak memory in GiB."""
    import torch

    torch.set_num_threads(options.threads)
    trainings = {name: build(name, options) for name in names}
    seconds = interleave(
        {name: training.run for name, training in trainings.items()}, options.repeats
    )
    memory = {name: peak_memory(run_once, build, name, options)[1] for name in names}
    return trainings, seconds, memory


def count_flops(training: Training) -> int:
    """FLOPs of a round's matrix products, convolutions and attention, forwards and backwards, as
    PyTorch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        training.run()
    return counter.get_total_flops()


def main() -> None:
    """Measure and report."""
    options = parse_args()
    names = [*BASELINES, *OURS]
    trainings, seconds, memory = measure(build, names, options)
    rate = {name: len(trainings[name].utterances) / seconds[name] for name in names}
    rows = []
    for name in OURS:
        baseline = next(other for other in BASELINES if other[:5] == name[:5])
        rows.append(row(name, rate[name], rate[baseline], "utterances/s"))
        rows.append(row(name, memory[name], memory[baseline], "GiB at most", "lower"))
    flops = {name: count_flops(trainings[name]) for name in OURS}
    peak = max(matrix_peak() for _ in OURS)  # a shared machine is at its peak now and then
    notes = {"matrix peak, GFLOP/s": round(peak / 1e9)}
    for name in OURS:
        per_utterance = flops[name] / len(trainings[name].utterances) / 1e9
        notes[f"{name}: share of the matrix peak"] = round(flops[name] / seconds[name] / peak, 3)
        notes[f"{name}: GFLOP an utterance"] = round(per_utterance, 2)
    report(rows, options, notes)


if __name__ == "__main__":
    main()
