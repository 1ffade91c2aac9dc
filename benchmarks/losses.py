"""Time and memory of ComSL's likelihood losses against the size of the vocabulary.

Ours forms logits for a few tokens at a time (comsl/model/objectives/likelihood.py); the baseline
holds those of every branch and of the teacher, as one would write the formulas down. Both give the
losses of all seven branches and the gradients of all states and of the LM head. Validation forms no
gradients; its baseline is ours with the gradients formed that training needs. Memory is what is
added at most to the states, the head and its gradient.
"""

import argparse
import importlib

from benchmarks.common import (
    high_water,
    interleave,
    parser,
    peak_memory,
    report,
    reset_high_water,
    row,
)

COEFFICIENTS = {"ce_mt": 0.16, "kd_mt": 0.04, "ce_st": 0.07, "kd_st": 0.28, "ce_asr": 0.35}
COEFFICIENTS |= {"ce_stm_x": 0.033, "ce_stm_y": 0.007, "kd_stm_y": 0.027, "ce_mtp": 0.033}
MASKED = 0.15  # share of the tokens that MTP scores


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=3)
    sizes = [4_000, 32_000, 128_000, 250_000]
    options.add_argument("--vocabulary", type=int, nargs="+", default=sizes, help="sizes")
    options.add_argument("--width", type=int, default=1024, help="of the decoder's states")
    options.add_argument("--tokens", type=int, default=256, help="scored by a branch")
    return options.parse_args()


class Step:
    """The losses of a batch of random states, and their gradients."""

    def __init__(self, vocabulary: int, width: int, tokens: int):
        import torch

        torch.manual_seed(0)
        self.weight = torch.randn(vocabulary, width).mul_(width**-0.5).requires_grad_()
        self.weight.grad = torch.zeros_like(self.weight)
        self.bias = torch.zeros(vocabulary)
        sizes = dict.fromkeys(("mt", "st", "stm_y", "asr", "stm_x"), tokens)
        sizes["mtp"] = round(MASKED * tokens)
        self.states = {name: torch.randn(n, width, requires_grad=True) for name, n in sizes.items()}
        self.teacher = torch.randn(tokens, width)
        self.x, self.y = torch.randint(vocabulary, (2, tokens))

    def chunked(self) -> float:
        loss = self.formed()
        loss.backward()
        return loss.item()

    def validated(self) -> float:
        import torch

        with torch.no_grad():
            return self.formed().item()

    def formed(self):
        """The loss, and with it, where autograd is on, the gradients."""
        from comsl.model.language_model import Head
        from comsl.model.objectives.likelihood import Group, likelihood

        head, x, masked = Head(self.weight, self.bias), self.x, len(self.states["mtp"])
        groups = [
            Group(self._named("mt", "st", "stm_y"), self.y, (self.teacher, head)),
            Group(self._named("asr", "stm_x"), x),
            Group(self._named("mtp"), x[:masked]),
        ]
        return likelihood(groups, head, COEFFICIENTS)[0]

    def plain(self) -> float:
        import torch
        from torch.nn import functional as F

        q = {name: F.linear(state, self.weight, self.bias) for name, state in self.states.items()}
        with torch.no_grad():
            p = F.linear(self.teacher, self.weight, self.bias).softmax(-1)
        labels = {"asr": self.x, "stm_x": self.x, "mtp": self.x[: len(self.states["mtp"])]}
        terms = {
            f"ce_{name}": F.cross_entropy(logits, labels.get(name, self.y), reduction="sum")
            for name, logits in q.items()
        }
        taught_by = {"mt": p, "st": q["mt"].detach().softmax(-1)}
        taught_by["stm_y"] = taught_by["st"]
        for name, target in taught_by.items():
            terms[f"kd_{name}"] = -(target * q[name].log_softmax(-1)).sum()
        loss = sum(COEFFICIENTS[name] * term for name, term in terms.items())
        loss.backward()
        return loss.item()

    def _named(self, *names: str) -> dict:
        return {name: self.states[name] for name in names}


# What is measured -> ours and its baseline.
COMPARED = {"tokens": ("chunked", "plain"), "tokens, validation": ("validated", "formed")}


def added_memory(method: str, vocabulary: int, options: argparse.Namespace) -> float:
    """Bytes that a step takes at most; in training without those of the head's new gradient."""
    import torch

    importlib.import_module("comsl.model.objectives.likelihood")  # not a part of the step
    torch.set_num_threads(options.threads)
    step = Step(vocabulary, options.width, options.tokens)
    before = reset_high_water()
    getattr(step, method)()
    of_head = step.weight.nbytes if method in COMPARED["tokens"] else 0
    return high_water() - before - of_head


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    torch.set_num_threads(options.threads)
    rows = []
    for vocabulary in options.vocabulary:
        methods = [method for pair in COMPARED.values() for method in pair]
        memory = {
            method: peak_memory(added_memory, method, vocabulary, options)[0] / 2**30
            for method in methods
        }
        step = Step(vocabulary, options.width, options.tokens)
        seconds = interleave({name: getattr(step, name) for name in methods}, options.repeats)
        for what, (ours, baseline) in COMPARED.items():
            name = f"{vocabulary} {what}"
            rows.append(row(name, seconds[ours], seconds[baseline], "s", "lower"))
            rows.append(row(name, memory[ours], memory[baseline], "GiB added", "lower"))
        del step
    report(rows, options)


if __name__ == "__main__":
    main()
