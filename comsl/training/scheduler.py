"""The published learning rate schedule, which ESPnet lacks."""

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from torch.optim.lr_scheduler import LRScheduler


class PolynomialDecayLR(LRScheduler, AbsBatchStepScheduler):
    """Linear warm-up over `warmup_steps`, then `(1 - progress) ** power` down to `end_lr` at
    `total_steps`, where it stays (docs/how-it-works.md)."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: int,
        total_steps: int,
        power: float = 2.0,
        end_lr: float = 1e-7,
        last_epoch: int = -1,
    ):
        self.warmup_steps, self.total_steps = warmup_steps, total_steps
        self.power, self.end_lr = power, end_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step = self.last_epoch + 1
        if step <= self.warmup_steps:
            return [lr * step / self.warmup_steps for lr in self.base_lrs]
        falling = max(1, self.total_steps - self.warmup_steps)  # a trial may end within the warm-up
        decay = max(0.0, 1 - (step - self.warmup_steps) / falling)
        # A rate below end_lr, such as 0 of a component that stays as it is, doesn't rise to it.
        ends = [min(self.end_lr, lr) for lr in self.base_lrs]
        return [e + (lr - e) * decay**self.power for e, lr in zip(ends, self.base_lrs, strict=True)]
