"""Memory and time a batch of reading training data, by hours of speech: from shards, against tables
in memory and a file or place in an ark for every clip, ESPnet's way.

An hour of clips of 5 s, with states 512 wide as stage 5 caches them, is repeated by links and by
lines of tables. No model: what is measured is a process that reads.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.common import parser, peak_memory, report, row

CLIPS, FRAMES, WIDTH = 720, 250, 512  # an hour of 5 s
TEXT = "The train leaves at eight o'clock tomorrow morning from the main station."


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=1)
    options.add_argument("--hours", default="1 10 100", help="sizes of the corpus")
    options.add_argument("--batches", type=int, default=300, help="batches that are read")
    return options.parse_args()


def write_hour(folder: Path) -> None:
    """Tables and states as stages 2 and 5 write them, and the shards of it."""
    import kaldiio
    import numpy as np
    import soundfile

    from comsl.corpora.kaldi import write_table
    from comsl.training.shard_writer import write_shards

    random = np.random.default_rng(0)
    keys = [f"fr_{number:05}" for number in range(CLIPS)]
    folder.mkdir()
    soundfile.write(folder / "a.flac", 0.01 * random.standard_normal(80000), 16000)
    for kind, width, length, method in (("feats", WIDTH, FRAMES, 3), ("teacher", 64, 16, None)):
        (folder / kind).mkdir()
        with kaldiio.WriteHelper(
            f"ark,scp:{folder}/{kind}/feats.ark,{folder}/{kind}/feats.scp",
            compression_method=method,
        ) as writer:
            for key in keys:
                writer(key, random.standard_normal((length, width)).astype(np.float32))
    tables = {"utt2lang": "fr", "text.src": TEXT, "text.tgt": TEXT, "wav.scp": f"{folder}/a.flac"}
    tables |= {"source_shape": "16", "target_shape": "16", "feats/speech_shape": str(FRAMES)}
    for name, value in tables.items():
        write_table(folder / name, dict.fromkeys(keys, value))
    write_shards(folder, folder / "feats", folder / "teacher", folder / "shards", 90)


def repeat(folder: Path, hours: int, out: Path) -> None:
    """The hour so many times: shards by links, tables by lines."""
    import numpy as np

    from comsl.corpora.kaldi import read_table, write_table
    from comsl.training.shards import Shards

    few = Shards.open(folder / "shards")
    (out / "shards").mkdir(parents=True)
    np.save(out / "shards/lengths.npy", np.concatenate([few.lengths] * hours))
    shutil.copy(folder / "shards/shards.json", out / "shards")
    many = Shards.open(out / "shards")
    for number in range(len(many)):
        for field in ("texts", "states"):
            many.path(field, number).symlink_to(few.path(field, number % len(few)))
    names = ("utt2lang", "text.src", "text.tgt", "source_shape", "target_shape")
    for name in (*names, "feats/feats.scp", "feats/speech_shape"):
        table = read_table(folder / name)
        lines = {f"{key}_{hour:03}": value for hour in range(hours) for key, value in table.items()}
        write_table(out / Path(name).name, lines)


def read(batches) -> float:
    """Milliseconds a batch, the first twenty aside."""
    started = 0.0
    for number, _ in enumerate(batches):
        if number == 20:
            started = time.perf_counter()
    return 1000 * (time.perf_counter() - started) / (number - 20)


def from_shards(folder: Path, batches: int) -> float:
    """Milliseconds a batch."""
    from comsl.training.shards import Plan, ShardIterFactory, Shards

    plan = Plan(Shards.open(folder / "shards"), batch_bins=4000)
    factory = ShardIterFactory(plan, {"speech": "states"}, batches, 0, lambda _, x: x, list)
    return read(factory.build_iter(1))


def from_tables(folder: Path, batches: int) -> float:
    """Milliseconds a batch."""
    from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
    from espnet2.train.dataset import ESPnetDataset

    from comsl.training.batch_sampler import BucketBatchSampler

    shapes = [str(folder / name) for name in ("source_shape", "target_shape", "speech_shape")]
    names = {"feats.scp": "speech", "text.src": "source_text", "text.tgt": "target_text"}
    files = [
        (str(folder / file), name, "kaldi_ark" if name == "speech" else "text")
        for file, name in (names | {"utt2lang": "lang"}).items()
    ]
    dataset = ESPnetDataset(files, preprocess=lambda _, data: {"speech": data["speech"]})
    sampler = BucketBatchSampler(4000, shapes)
    factory = SequenceIterFactory(
        dataset, sampler, num_iters_per_epoch=batches, shuffle=True, collate_fn=list
    )
    return read(factory.build_iter(1))


def main() -> None:
    args = parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        write_hour(hour := Path(temporary, "hour"))
        for hours in map(int, args.hours.split()):
            repeat(hour, hours, folder := Path(temporary, str(hours)))
            (ours, memory), (theirs, other) = (
                peak_memory(way, folder, args.batches) for way in (from_shards, from_tables)
            )
            rows.append(row(f"{hours} h: batch", ours, theirs, "ms", better="lower"))
            rows.append(row(f"{hours} h: memory", memory, other, "GiB", better="lower"))
    report(rows, args)


if __name__ == "__main__":
    main()
