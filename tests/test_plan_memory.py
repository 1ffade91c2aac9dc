"""The plan's memory against what trainings of a small model hold."""
# ruff: noqa: F811 fixtures

import dataclasses
import json
import multiprocessing
from argparse import Namespace

import pytest
import torch
from test_counts import build, one, size, whisper_encoder  # noqa: F401 fixtures

from comsl.model.language_model import LanguageModel
from comsl.model.teacher import Teacher
from comsl.planning.counts import SIZES
from comsl.planning.plan import Job, Plan, read_costs
from comsl.tokenizer import Tokenizer
from comsl.training.deepspeed_trainer import MOMENTS, ZeroOptimizer, _join, read_config


def small_plan(size, monkeypatch, **changes) -> Plan:
    """Of a model of that size."""
    monkeypatch.setitem(SIZES, "small", size)
    costs = read_costs()
    for name in ("source_tokens", "target_tokens"):
        costs[name]["value"]["small"] = 3
    job = Job(hours=1, model="small", device="two-cores", trained_blocks=2)
    return Plan(dataclasses.replace(job, **changes), costs)


def count_bytes(tensors) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def with_speech(one: dict) -> dict:
    speech = {"speech": 0.1 * torch.randn(1, 64000), "speech_lengths": torch.tensor([64000])}
    return one | speech


def test_memory_is_what_training_holds(size, tiny_lm, tokenizer, one, monkeypatch):
    """Every tensor of a small model's weights, gradients, optimiser and teacher."""
    model = build(size, tiny_lm, tokenizer, whisper_encoder(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(**with_speech(one))[0].backward()
    optimizer.step()
    parameters = list(model.parameters())
    moments = [state[key] for state in optimizer.state.values() for key in MOMENTS]
    plain = small_plan(size, monkeypatch).memory()["plain"]
    assert plain["weights"] == count_bytes(parameters)
    assert plain["gradients"] == count_bytes(p.grad for p in parameters if p.grad is not None)
    assert plain["optimiser"] == count_bytes(moments)
    for device, bf16 in (("two-cores", False), ("a100", True)):
        teacher = Teacher(LanguageModel(tiny_lm), cached=True, bf16=bf16)
        found = small_plan(size, monkeypatch, device=device).memory()["plain"]
        assert found["teacher's head"] == teacher.head.weight.nbytes


def measure_zero(name: str, size, tiny_lm, batch: dict, file) -> None:
    """In a process of its own: the bytes that DeepSpeed keeps, as a JSON file."""
    import deepspeed

    deepspeed.ops.__compatible_ops__.clear()  # else it compiles its exchange between CPUs: minutes
    options = {"deepspeed_config": f"conf/deepspeed/{name}.json", "accum_grad": 1, "grad_clip": 5.0}
    options = Namespace(**options, ngpu=0)
    _join(options, Namespace(local_rank=0))
    model = build(size, tiny_lm, Tokenizer(tiny_lm), whisper_encoder(2))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = ZeroOptimizer(model, torch.optim.AdamW(trained), read_config(options))
    zero = optimizer.engine.optimizer
    optimizer.engine.backward(optimizer.engine(**batch)[0])
    gradients = [gradient for group in zero.averaged_gradients.values() for gradient in group]
    if zero.cpu_offload:
        gradients.append(zero.temp_grad_buffer_for_gpu_offload)
    found = {"gradients": count_bytes(gradients)}
    optimizer.step()
    states = optimizer.optimizer.state.items()
    kept = [tensor for flat, state in states for tensor in (flat, *(state[k] for k in MOMENTS))]
    found["optimiser"] = count_bytes(kept)
    found["weights"] = count_bytes(model.parameters())
    found["largest"] = max(parameter.nbytes for parameter in model.parameters())
    file.write_text(json.dumps(found))


@pytest.mark.parametrize("name", ["zero2", "zero2_offload"])
def test_memory_is_what_deepspeed_holds(name, size, tiny_lm, one, tmp_path, monkeypatch):
    """But for the numbers by which it fills groups up. Offload takes the optimiser from the device,
    and of the gradients keeps a buffer, as large as the largest parameter: mBART-50's head."""
    file = tmp_path / "found.json"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["comsl.training.task", "deepspeed"])
    arguments = name, size, tiny_lm, with_speech(one), file
    process = context.Process(target=measure_zero, args=arguments)
    process.start()
    process.join()
    found = json.loads(file.read_text())
    memory = small_plan(size, monkeypatch).memory()
    expected = {part: memory["ZeRO-2"][part] for part in ("weights", "gradients", "optimiser")}
    largest = found.pop("largest")
    if name == "zero2_offload":
        expected["gradients"] = largest
        offload = memory["ZeRO-2, offload"]
        assert offload["optimiser"] == 0
        assert offload["gradients"] == 4 * size.language.vocabulary * size.language.width
    assert found == pytest.approx(expected, rel=1e-3)
