"""ESPnet's trainer, with BLEU on the validation set and a checkpoint that outlives any kill."""

import argparse
import dataclasses
import functools
import itertools
import logging
import operator
import os
import resource
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.torch_utils.device_funcs import to_device
from espnet2.train.trainer import Trainer, TrainerOptions
from espnet2.utils.types import str2bool

from comsl.bleu import bleu_metric
from comsl.errors import DataError
from comsl.training.fitting import try_largest


@dataclasses.dataclass
class ComSLTrainerOptions(TrainerOptions):
    """ESPnet's, and: valid_bleu, whether to decode the validation set after every epoch;
    auto_batch, whether to see first that the largest batches fit."""

    valid_bleu: bool
    auto_batch: bool


class ComSLTrainer(Trainer):
    """ESPnet's `Trainer`, extended before the first epoch and at the end of each."""

    options_class = ComSLTrainerOptions
    tries_batches = True  # whether they can be tried without a trace, see `auto_batch`

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> ComSLTrainerOptions:
        names = [field.name for field in dataclasses.fields(cls.options_class)]
        return cls.options_class(**{name: getattr(args, name) for name in names})

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--valid_bleu",
            type=str2bool,
            default=True,
            help="decode the validation set greedily after every epoch and log its BLEU",
        )
        parser.add_argument(
            "--auto_batch",
            type=str2bool,
            default=False,
            help="make an update of as few batches as the GPU's memory takes, whatever batch_bins "
            "and accum_grad say of that; go on with smaller ones where it runs out",
        )

    @classmethod
    def run(cls, model, optimizers, train_iter_factory, trainer_options, **kwargs) -> None:
        if trainer_options.resume:
            restore_checkpoint(Path(trainer_options.output_dir))
        known = isinstance(train_iter_factory, SequenceIterFactory)
        if trainer_options.auto_batch and cls.tries_batches and known:
            device = "cuda" if trainer_options.ngpu > 0 else "cpu"
            try_largest(model, optimizers, train_iter_factory, device)
        super().run(
            model=model,
            optimizers=optimizers,
            train_iter_factory=train_iter_factory,
            trainer_options=trainer_options,
            **kwargs,
        )

    @classmethod
    def train_one_epoch(cls, iterator, options, **others) -> bool:
        """ESPnet's, on whole updates. DataError: it makes none, at which ESPnet would end the
        training as if it were done."""
        batches = whole_updates(iterator, options.accum_grad)
        check_updates(not super().train_one_epoch(iterator=batches, options=options, **others))
        return False

    @classmethod
    def validate_one_epoch(cls, model, iterator, reporter, options, distributed_option) -> None:
        """Stats as ESPnet's; then ours. ESPnet overwrites the checkpoint right after this."""
        super().validate_one_epoch(model, iterator, reporter, options, distributed_option)
        device = "cuda" if options.ngpu > 0 else "cpu"
        stats = {"peak_memory_gb": peak_memory(device)}
        if options.valid_bleu:
            module = getattr(model, "module", model)
            stats["bleu"] = greedy_bleu(module, iterator, device, distributed_option.distributed)
        reporter.register(stats, 1)
        reporter.next()
        if not distributed_option.distributed or distributed_option.dist_rank == 0:
            keep_checkpoint(Path(options.output_dir))


def check_updates(made: bool) -> None:
    """DataError: an epoch has made no update."""
    if not made:
        raise DataError(
            "no update of this epoch had finite gradients: lower the learning rate, or train"
            " without bfloat16 or float16"
        )


def whole_updates[Batch](batches: Iterable[Batch], accum_grad: int) -> Iterable[Batch]:
    """An epoch's batches but those that its end leaves too few of for an update: their gradients
    would be added to the next epoch's, unless it begins with a resume."""
    if accum_grad == 1:
        return batches  # itself, whose length ESPnet's logging asks for
    return _whole_updates(batches, accum_grad)


def _whole_updates[Batch](batches: Iterable[Batch], accum_grad: int) -> Iterator[Batch]:
    for update in itertools.batched(batches, accum_grad):
        if len(update) == accum_grad:
            yield from update


def added_statistics(valid_bleu: bool) -> set[str]:
    """What `validate_one_epoch` logs beside the model's own statistics."""
    return {"peak_memory_gb"} | ({"bleu"} if valid_bleu else set())


def greedy_bleu(model, iterator, device: str, distributed: bool) -> float:
    """Corpus BLEU of greedy decoding, the model's `translate`.

    References are decoded from their tokens: a curve to follow, not a score to publish.
    """
    pairs = []
    for _, batch in iterator:
        batch = to_device(batch, device)
        hypotheses = model.translate(**batch)
        lengths = batch["target_lengths"].tolist()
        references = [row[:n] for row, n in zip(batch["target"].tolist(), lengths, strict=True)]
        decode = model.tokenizer.decode
        pairs += [(decode(h), decode(r)) for h, r in zip(hypotheses, references, strict=True)]
    if distributed:
        gathered = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(gathered, pairs)
        pairs = functools.reduce(operator.iadd, gathered, [])
    hypotheses, references = zip(*pairs, strict=True)
    target_lang = model.target_lang.split()[0]  # of several the first: that decides little
    return bleu_metric(target_lang).corpus_score(list(hypotheses), [list(references)]).score


def peak_memory(device: str) -> float:
    """The most memory that this process has held so far, in GB: the device's, or its own."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def keep_checkpoint(folder: Path) -> None:
    """Set the last epoch's checkpoint aside: ESPnet writes the next over it, not atomically.

    It then writes the epoch's model, and last the link latest.pth: its absence means a kill.
    """
    if (folder / "checkpoint.pth").exists():
        (folder / "checkpoint.pth").replace(folder / "checkpoint.previous.pth")
    (folder / "latest.pth").unlink(missing_ok=True)


def restore_checkpoint(folder: Path) -> None:
    """Go back to the checkpoint set aside, or to the start, where a kill cut the newer one, or the
    model of its epoch, short."""
    newest, previous = folder / "checkpoint.pth", folder / "checkpoint.previous.pth"
    # A zip's directory is written last: a truncated file is none.
    if zipfile.is_zipfile(newest) and (folder / "latest.pth").exists():
        return
    if previous.exists():
        logging.warning(f"{newest} is incomplete: resuming from the epoch before it")
        # A copy: killed again within the epoch, the next start finds `previous` in its place.
        temporary = folder / f".checkpoint.{os.getpid()}.tmp"
        shutil.copyfile(previous, temporary)
        temporary.replace(newest)
    else:
        newest.unlink(missing_ok=True)
