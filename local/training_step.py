#!/usr/bin/env python
"""One update of ComSL Medium or Large at its true dimensions, with a trace of the memory it takes.

Configuration and code are the recipe's (egs2/covost2/comsl1/conf); the weights are random, so that
nothing is downloaded: mBART-50's, of the frozen teacher too, and Whisper's encoder's.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

from comsl.cli import command, new_parser
from comsl.corpora.samples import RATE
from comsl.planning.untrained import SPEECH_ENCODERS, configuration, write_language_model

# Adafactor's rate is relative to the weights. AdamW keeps two numbers a weight more.
OPTIMIZERS = {"adamw": {"lr": 2e-5, "fused": True}, "adafactor": {"lr": 5e-4}}
TEXTS = ("Demain nous partons à la mer avec nos amis.", "Tomorrow we go to the sea with friends.")


class MemoryTrace:
    """Prints, after each phase of the work, its time and the memory of the process.

    phases: GiB at most of each.
    """

    def __init__(self):
        self.phases: dict[str, float] = {}
        self.started = time.perf_counter()
        print(f"{'':24}{'seconds':>9}{'GiB after':>11}{'GiB at most':>13}")

    def phase(self, name: str) -> None:
        """`name` has ended."""
        status = Path("/proc/self/status").read_text()
        after, most = (
            int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) / 2**20 for key in ("VmRSS", "VmHWM")
        )
        Path("/proc/self/clear_refs").write_text("5")  # the next phase's maximum is its own
        self.phases[name] = most
        seconds = time.perf_counter() - self.started
        print(f"{name:24}{seconds:9.1f}{after:11.2f}{most:13.2f}", flush=True)
        self.started = time.perf_counter()

    @property
    def peak(self) -> float:
        """GiB at most, of all phases."""
        return max(self.phases.values())


def make_batch(tokenizer, seconds: float) -> dict:
    """One utterance of noise, and its texts."""
    import torch

    source, target = (
        torch.tensor([tokenizer.encode(text, lang)])
        for text, lang in zip(TEXTS, ("fr", "en"), strict=True)
    )
    speech = 0.1 * torch.randn(1, round(RATE * seconds))
    batch = {"speech": speech, "source": source, "target": target}
    return batch | {f"{name}_lengths": torch.tensor([v.size(1)]) for name, v in batch.items()}


def run_step(args: argparse.Namespace, seconds: float, trace: MemoryTrace) -> int:
    """Build, forward, backward, clip, update: as ESPnet's trainer does. The model's parameters."""
    import torch

    from comsl.training.task import ComSLTask

    torch.manual_seed(1)
    model = ComSLTask.build_model(args).train()
    (optimizer,) = ComSLTask.build_optimizers(args, model)
    trace.phase("model and teacher")
    loss, _, _ = model(**make_batch(model.tokenizer, seconds))
    trace.phase("forward")
    loss.backward()
    trace.phase("backward")
    torch.nn.utils.clip_grad_norm_(model.parameters(), args.grad_clip)
    optimizer.step()
    optimizer.zero_grad()
    trace.phase(f"update by {args.optim}")
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count / 1e9:.2f} thousand million parameters, loss {loss.item():.1f}")
    return count


@command
def main() -> None:
    """Command-line entry."""
    parser = new_parser(__doc__)
    parser.add_argument("--size", choices=SPEECH_ENCODERS, required=True)
    parser.add_argument("--optim", choices=OPTIMIZERS, default="adafactor")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the one clip")
    args = parser.parse_args()

    trace = MemoryTrace()
    with tempfile.TemporaryDirectory() as folder:
        write_language_model(Path(folder))
        trace.phase("random mBART-50 on disk")
        configured = configuration(args.size, Path(folder))
        configured.optim = args.optim
        configured.optim_conf = OPTIMIZERS[args.optim] | {"weight_decay": 0.1}
        run_step(configured, args.seconds, trace)
    print(f"{trace.peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
