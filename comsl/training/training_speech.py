"""What speech a training hears: whoever uses its model later asks for no other."""

import argparse
from pathlib import Path

from comsl.corpora.kaldi import iter_table


def describe_speech(args: argparse.Namespace) -> dict[str, list[str] | float]:
    """The training set's languages, and the seconds of its longest clip where `utt2dur` is beside
    `utt2lang`; empty where the training hears no speech. `ComSLModel` takes them."""
    tables = [
        Path(path) for path, name, _ in args.train_data_path_and_name_and_type if name == "lang"
    ]
    if args.speech_encoder is None or not tables:
        return {}
    known = {"languages": sorted({lang for table in tables for _, lang in iter_table(table)})}
    lengths = [table.with_name("utt2dur") for table in tables]
    if all(table.is_file() for table in lengths):
        seconds = (float(value) for table in lengths for _, value in iter_table(table))
        known["longest"] = max(seconds)
    return known
