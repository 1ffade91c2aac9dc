"""Batches as large as the device takes (`--auto_batch true`): an update keeps its size, and is made
of fewer and larger batches, or of more and smaller ones where memory runs out."""

import argparse
import copy
import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.torch_utils.device_funcs import to_device

from comsl.corpora.kaldi import read_table
from comsl.errors import DataError
from comsl.training.updates import smallest_batch, updates_per_epoch


def train_fitting(train: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Train with a whole update as one batch, with halves of it where the device's memory runs out,
    and so on, each time from the last checkpoint. DataError: a single clip is too large."""
    gather(args)
    while True:
        logging.info(f"batches of {args.batch_bins} elements, {args.accum_grad} an update")
        if not _runs_out(train, copy.deepcopy(args)):
            return
        gc.collect()
        torch.cuda.empty_cache()
        size = args.batch_bins
        halve(args)
        args.resume = True
        logging.warning(
            f"memory ran out with batches of {size} elements: going on from the last checkpoint"
            f" with {args.batch_bins}, {args.accum_grad} an update"
        )


def gather(args: argparse.Namespace) -> None:
    """Make a whole update one batch. An epoch keeps its updates, so that the schedule fits."""
    args.num_iters_per_epoch = updates_per_epoch(args)
    args.batch_bins *= args.accum_grad
    args.accum_grad = 1


def halve(args: argparse.Namespace) -> None:
    """Twice as many batches an update, of half the size. DataError: they have one clip each, or one
    for each process."""
    if args.batch_bins <= _longest(args) * smallest_batch(args):
        raise DataError(
            "the device's memory doesn't take a single clip of the longest: checkpointing of"
            " activations (speech_encoder_conf, language_model_conf), ZeRO (--deepspeed_config) or"
            " a lower --max_duration need less"
        )
    args.num_iters_per_epoch *= 2
    args.batch_bins //= 2
    args.accum_grad *= 2


def _longest(args: argparse.Namespace) -> int:
    """Elements of the utterance that has most of them."""
    tables = [read_table(Path(file)) for file in args.train_shape_file]
    return max(sum(int(table[key].split(",")[0]) for table in tables) for key in tables[0])


def _runs_out(train: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> bool:
    """Whether a training ends by lack of memory, here or in one of its processes, whose error
    arrives as text. What it held is free when this returns."""
    try:
        train(args)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "OutOfMemoryError" in str(error):
            return True
        raise
    except Exception as error:  # torch.multiprocessing's
        if "torch.OutOfMemoryError" in str(error):
            return True
        raise
    return False


def try_largest(
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    factory: SequenceIterFactory,
    device: str,
) -> None:
    """Take the batches that need most memory forward and back, beside room for the optimiser's
    moments, and leave everything as it was. torch.OutOfMemoryError: they don't fit."""
    trained = [p for o in optimizers for group in o.param_groups for p in group["params"]]
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices):
        moments = [torch.empty_like(p) for p in trained for _ in range(2)] if devices else []
        for keys in _largest(list(factory.sampler)):
            names, batch = factory.collate_fn([factory.dataset[key] for key in keys])
            model(**to_device(batch, device), utt_id=names)[0].backward()
        model.zero_grad(set_to_none=True)
        del moments


def _largest(batches: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """All have about as many elements: attention needs most where they are longest, the logits of
    the vocabulary where they are most."""
    yield batches[-1]
    yield max(batches, key=len)
    yield batches[0]
