"""DeepSpeed's ZeRO in ComSL's trainer, on GPUs or CPUs, with the same checkpoints.

ESPnet's own DeepSpeedTrainer calls `.cuda()`, drops the task's optimiser and schedule, and writes
checkpoints of another kind.
"""

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.torch_utils.device_funcs import to_device
from espnet2.torch_utils.recursive_op import recursive_average
from espnet2.train.distributed_utils import DistributedOption
from torch import distributed
from torch.nn import Parameter

from comsl.errors import DataError
from comsl.training.trainer import (
    ComSLTrainer,
    ComSLTrainerOptions,
    check_updates,
    whole_updates,
)

MOMENTS = ("exp_avg", "exp_avg_sq")  # what Adam keeps of each parameter


@dataclasses.dataclass
class ComSLDeepSpeedOptions(ComSLTrainerOptions):
    """ComSLTrainer's, and: deepspeed_config, a JSON file, of which ESPnet's settings say the rest:
    optimiser, schedule, batches, accumulation, clipping; precision is the model's `bf16`."""

    deepspeed_config: str


class ComSLDeepSpeedTrainer(ComSLTrainer):
    """ComSLTrainer with ZeRO stage 1 or 2: gradients and optimiser states are spread over the
    processes. Checkpoints hold them whole, as ComSLTrainer writes and reads them, so that either
    trainer, on any number of processes, resumes what the other began."""

    options_class = ComSLDeepSpeedOptions
    tries_batches = False  # ZeRO's hooks would keep the gradients

    @classmethod
    def run(cls, model, optimizers, trainer_options, distributed_option, **kwargs) -> None:
        """DataError: a deepspeed_config or an optimiser that can't be used."""
        if find_spec("deepspeed") is None:
            raise DataError("use_deepspeed: install DeepSpeed, the version in requirements.txt")
        config = read_config(trainer_options)
        _join(trainer_options, distributed_option)
        with _no_data_parallel():
            super().run(
                model=model,
                optimizers=[ZeroOptimizer(model, optimizers[0], config)],
                trainer_options=trainer_options,
                distributed_option=distributed_option,
                **kwargs,
            )

    @staticmethod
    def resume(**options) -> None:
        """To the CPU: on a GPU the whole optimiser's state might not fit."""
        ComSLTrainer.resume(**options | {"ngpu": 0})

    @classmethod
    def train_one_epoch(
        cls,
        model,
        optimizers,
        schedulers,
        iterator,
        reporter,
        scaler,
        summary_writer,
        options,
        distributed_option,
    ) -> bool:
        """As ComSLTrainer's."""
        (optimizer,), (scheduler,) = optimizers, schedulers
        device, interval, updates = (
            "cuda" if options.ngpu else "cpu",
            options.log_interval or 100,
            0,
        )
        optimizer.engine.train()
        # Every process has a share of every batch: all end together.
        batches = whole_updates(iterator, options.accum_grad)
        for number, (utt_id, batch) in enumerate(
            reporter.measure_iter_time(batches, "iter_time"), 1
        ):
            batch = to_device(batch | {"utt_id": utt_id}, device)
            with reporter.measure_time("forward_time"):
                loss, stats, weight = optimizer.engine(**batch)
            stats, total = recursive_average(stats, weight, distributed_option.distributed)
            reporter.register(stats, total)
            # The mean over all utterances, from processes that DeepSpeed takes the mean of.
            share = weight.sum() * distributed.get_world_size() / total
            # Counted from the epoch's start, as ESPnet does, not on and on as DeepSpeed would.
            optimizer.engine.set_gradient_accumulation_boundary(number % options.accum_grad == 0)
            with reporter.measure_time("backward_time"):
                optimizer.engine.backward(loss * share)
            if optimizer.step():
                updates += 1
                if isinstance(scheduler, AbsBatchStepScheduler):
                    scheduler.step()
                rates = {f"optim0_lr{i}": g["lr"] for i, g in enumerate(optimizer.param_groups)}
                reporter.register(rates | {"grad_norm": optimizer.engine.get_global_grad_norm()})
            reporter.next()
            if number % interval == 0:
                logging.info(reporter.log_message(-interval))
                if summary_writer is not None:
                    reporter.tensorboard_add_scalar(summary_writer, -interval)
        check_updates(updates > 0)
        optimizer.gather()
        return False


class ZeroOptimizer(torch.optim.Optimizer):
    """A torch Adam or AdamW under DeepSpeed, with its state as it were without.

    engine: DeepSpeed's, of `model`.
    """

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, config: dict):
        # Not the base class's: parameters and state are `optimizer`'s.
        import deepspeed

        if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
            raise DataError(f"DeepSpeed shards adam and adamw, not {type(optimizer).__name__}")
        # DeepSpeed puts one flat vector, this process's part, in the place of each group's.
        self.parameters = [group["params"] for group in optimizer.param_groups]
        self.optimizer = optimizer
        self.engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
        self.gathered: dict[int, dict[str, torch.Tensor]] = {}

    @property
    def param_groups(self) -> list[dict]:
        """Settings of the groups, their learning rates among them."""
        return self.optimizer.param_groups

    def step(self) -> bool:
        """Whether the parameters were updated: at the last batch of an accumulation only, and not
        where a gradient is not finite."""
        self.engine.step()
        return self.engine.was_step_applied()

    def gather(self) -> None:
        """Collect the whole state on the first process, after an update. All must call it."""
        self.gathered = {}
        for number, (parameter, flat) in enumerate(self._parts()):
            state, (inside, place) = self.optimizer.state[flat], _part_of(parameter)
            whole = {}
            for key in MOMENTS:
                moment = torch.zeros_like(parameter).flatten()
                moment[inside] = state[key][place].to(moment.device)
                distributed.all_reduce(moment)
                whole[key] = moment.view_as(parameter)
            if distributed.get_rank() == 0:
                # Each parameter has its own count: AdamW counts up where it is.
                whole["step"] = state["step"].clone()
                self.gathered[number] = {key: value.cpu() for key, value in whole.items()}

    def state_dict(self) -> dict:
        """As torch's AdamW would have it, by what `gather` has collected."""
        groups, start = [], 0
        for group, parameters in zip(self.param_groups, self.parameters, strict=True):
            numbers = list(range(start, start + len(parameters)))
            groups.append(group | {"params": numbers})
            start += len(parameters)
        return {"state": self.gathered, "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take this process's part of `state_dict`, and of the parameters as they are now."""
        parts = {}
        for number, (parameter, flat) in enumerate(self._parts()):
            saved, (inside, place) = state_dict["state"].get(number), _part_of(parameter)
            part = parts.setdefault(flat, {key: torch.zeros_like(flat) for key in MOMENTS})
            if saved is None:  # it has had no gradient yet
                continue
            part["step"] = saved["step"]
            for key in MOMENTS:
                part[key][place] = saved[key].flatten()[inside].to(flat.device)
        groups = [
            group | {"params": [number]} for number, group in enumerate(state_dict["param_groups"])
        ]
        state = {number: part for number, part in enumerate(parts.values()) if "step" in part}
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.engine.optimizer.refresh_fp32_params()

    def _parts(self) -> Iterator[tuple[Parameter, torch.Tensor]]:
        """Every parameter, with the vector that holds this process's part of its group."""
        for group, parameters in zip(self.param_groups, self.parameters, strict=True):
            for parameter in parameters:
                yield parameter, group["params"][0]


def _part_of(parameter: Parameter) -> tuple[slice, slice]:
    """Which numbers of a parameter this process updates, and where they are in the vector of the
    parameter's group."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return slice(0, 0), slice(0, 0)
    places = mapping.lp_fragment_address, mapping.hp_fragment_address
    inside, place = (slice(part.start, part.start + part.numel) for part in places)
    return inside, place


def read_config(options: ComSLDeepSpeedOptions) -> dict:
    """DeepSpeed's configuration, completed from ESPnet's options. DataError: no JSON file, or it
    sets what those do."""
    path = Path(options.deepspeed_config or "")
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"deepspeed_config '{path}' can't be read: {error}") from error
    completed = {
        "train_micro_batch_size_per_gpu": 1,  # for its statistics alone: ESPnet makes the batches
        "gradient_accumulation_steps": options.accum_grad,
        "gradient_clipping": options.grad_clip,
        "zero_force_ds_cpu_optimizer": False,  # torch's fused AdamW is as fast, and not compiled
    }
    for name in ("optimizer", "scheduler", "fp16", "bf16", "train_batch_size", *completed):
        if name in config:
            raise DataError(f"{path}: take out '{name}': the training configuration has it")
    if config.get("zero_optimization", {}).get("stage") not in (1, 2):
        raise DataError(f"{path}: set zero_optimization's stage to 1 or 2")
    return config | completed


def _join(options: ComSLDeepSpeedOptions, distributed_option: DistributedOption) -> None:
    """Tell DeepSpeed what ESPnet knows of the processes; a single one becomes a group of one."""
    if not options.ngpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if not distributed.is_initialized():
        backend = "nccl" if options.ngpu else "gloo"
        store = distributed.HashStore()
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    os.environ["RANK"] = str(distributed.get_rank())
    os.environ["WORLD_SIZE"] = str(distributed.get_world_size())
    os.environ["LOCAL_RANK"] = str(distributed_option.local_rank or 0)


@contextlib.contextmanager
def _no_data_parallel() -> Iterator[None]:
    """ESPnet wraps the model of any distributed training: here DeepSpeed reduces the gradients."""

    class Unwrapped:
        def __new__(cls, module, **_):
            return module

    wrapper = torch.nn.parallel.DistributedDataParallel
    torch.nn.parallel.DistributedDataParallel = Unwrapped
    try:
        yield
    finally:
        torch.nn.parallel.DistributedDataParallel = wrapper
