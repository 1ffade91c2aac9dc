"""How many updates a training makes, and what its schedule has to know of that."""

import argparse
import logging
import os
from math import ceil

from espnet2.samplers.build_batch_sampler import build_batch_sampler

from comsl.errors import DataError
from comsl.training.batch_sampler import BucketBatchSampler, is_in_buckets

# Settings that say how long a training is.
LENGTH = ("max_epoch", "num_iters_per_epoch", "accum_grad", "batch_type", "batch_bins")


def updates_per_epoch(args: argparse.Namespace) -> int:
    """Of a training's configuration: so many batches as it says, or as there are. DataError: too
    few for an update."""
    batches = args.num_iters_per_epoch or _count_batches(args)
    if batches < args.accum_grad:
        raise DataError(
            f"accum_grad: an update takes {args.accum_grad} batches, an epoch has {batches}"
        )
    return batches // args.accum_grad


def smallest_batch(args: argparse.Namespace) -> int:
    """Clips that a batch has at least: one for each process that shares it."""
    return max(args.min_batch_size, _processes(args))


def _processes(args: argparse.Namespace) -> int:
    if args.dist_world_size:  # one is started for each
        return args.dist_world_size
    nodes = os.environ.get("SLURM_JOB_NUM_NODES", 1) if args.dist_launcher == "slurm" else 1
    return max(1, args.ngpu) * int(nodes)


def _count_batches(args: argparse.Namespace) -> int:
    smallest = smallest_batch(args)
    if is_in_buckets(args.batch_type, args.train_shape_file):
        return len(BucketBatchSampler(args.batch_bins, args.train_shape_file, smallest))
    sampler = build_batch_sampler(
        type=args.batch_type,
        shape_files=args.train_shape_file,
        fold_lengths=args.fold_length,
        batch_size=args.batch_size,
        batch_bins=args.batch_bins,
        sort_in_batch=args.sort_in_batch,
        sort_batch=args.sort_batch,
        drop_last=args.drop_last_iter,
        min_batch_size=smallest,
    )
    return len(list(sampler))


def settle_length(args: argparse.Namespace) -> None:
    """Lengthen a training by the updates of `further_phase_conf`, and tell a polynomial schedule
    that isn't told, or no longer rightly, how many there are: its rate falls to the end.
    DataError: an epoch has too few batches for an update."""
    updates, further = updates_per_epoch(args), args.further_phase_conf
    if further:
        defaults = {"num_iters_per_epoch": None, "accum_grad": 1}
        other = argparse.Namespace(**vars(args) | defaults | further)
        args.max_epoch += ceil(other.max_epoch * updates_per_epoch(other) / updates)
    if args.scheduler == "polynomial" and (further or "total_steps" not in args.scheduler_conf):
        total = args.max_epoch * updates
        args.scheduler_conf = args.scheduler_conf | {"total_steps": total}
        logging.info(f"{args.max_epoch} epochs, {total} updates")
