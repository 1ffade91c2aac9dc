"""What ComSL Medium and Large do on this machine's GPU: throughput, share of the peak, memory.

Training steps of the joint phase on made-up batches of CoVoST's lengths, random weights, cached
states of the teacher: plain, with activation checkpointing, LoRA, DeepSpeed's ZeRO-2, each as it
is and by torch.compile; encoding and decoding in bfloat16. Needs a GPU and nothing else; --costs
writes comsl.bin.plan's table with what was measured in place of assumptions. A way that
fails, for want of memory too, says so in its row, and the others go on. What is measured is written
at once, so that the script may be ended at any time.

    python -m benchmarks.gpu --json gpu.json --costs costs.json
    python -m comsl.bin.plan --hours 1300 --device measured --costs costs.json
"""

import argparse
import itertools
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import machine, versions
from comsl.dimensions import MBART_50, WHISPER
from comsl.planning import counts
from comsl.planning.counts import FRAME_RATE, Clip, LanguageSize, Size, SpeechSize
from comsl.planning.plan import BEAMS, COSTS, DECODED, read_costs
from comsl.planning.untrained import SPEECH_ENCODERS, TOP, configuration, write_language_model

SECONDS, DEVIATION, SHORTEST, LONGEST = 5.0, 1.6, 1.5, 11.0  # of CoVoST 2's clips, about
SOURCE, TARGET = 2.8, 2.5  # tokens a second
WARM_UP = 3  # batches before the clock starts
# Way of training -> its options.
PLAIN = (
    "--language_model_conf",
    "checkpointing=false",
    "--speech_encoder_conf",
    "checkpointing=false",
)
LORA = ("--lora_conf", "language_model.rank=16", "--lora_conf", "speech_encoder.rank=16")
WAYS = {"plain": PLAIN, "checkpointing": (), "LoRA": (*PLAIN, *LORA), "ZeRO-2": PLAIN}
# To see that the script runs, on any machine.
TINY = MBART_50 | {
    "vocab_size": 8500, "d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}  # fmt: skip
TINY_ENCODER = WHISPER["tiny"] | {"n_state": 32, "n_head": 2, "n_layer": 2}


def parse_args() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    add = options.add_argument
    add("--sizes", default="medium large", help='of "tiny medium large"')
    add("--ways", default=" ".join(WAYS), help="of training")
    add("--compiled", default="false true", help="without torch.compile, and with it")
    add("--batch_bins", type=int, default=10000, help="frames and tokens of a batch, padded")
    add("--batches", type=int, default=20, help="that are measured")
    add("--device", default="cuda", help="cuda, or cpu to see that the script runs")
    add("--json", type=Path, help="file to write the results to")
    add("--costs", type=Path, help="file to write the costs to, as device `measured`")
    return options.parse_args()


def dimensions(size: str) -> tuple[dict, dict]:
    """Of the speech encoder, and of the language model."""
    if size == "tiny":
        return TINY_ENCODER, TINY
    return WHISPER[SPEECH_ENCODERS[size]], MBART_50


def count(size: str) -> Size:
    """What counts.py counts of it."""
    speech, language = dimensions(size)
    return Size(SpeechSize.of(speech), LanguageSize.of(language))


def make_clips(number: int) -> list[Clip]:
    """Clips as CoVoST has them."""
    import numpy as np

    shape = (SECONDS / DEVIATION) ** 2
    random = np.random.default_rng(0).gamma(shape, SECONDS / shape, number)
    lengths = np.clip(random, SHORTEST, LONGEST)
    return [
        Clip(round(FRAME_RATE * (s + 0.5)), round(SOURCE * s) + 2, round(TARGET * s) + 2)
        for s in lengths
    ]


def make_batches(number: int, batch_bins: int) -> list[list[Clip]]:
    """Batches of like lengths, as a training has them."""
    from comsl.training.batch_sampler import cut_batches

    clips = make_clips(max(64, number * batch_bins // 200))
    lengths = {i: (clip.source, clip.target, clip.frames) for i, clip in enumerate(clips)}
    batches = cut_batches(list(lengths), lengths, batch_bins)
    chosen = [batches[len(batches) * i // number] for i in range(number)]
    return [[clips[i] for i in batch] for batch in chosen]


def to_tensors(clips: list[Clip], width: int, device: str) -> dict:
    """Noise and tokens by chance, padded; teacher states."""
    import torch

    batch = {}
    sizes = {
        "speech": [320 * (clip.frames - FRAME_RATE // 2) for clip in clips],
        "source": [clip.source for clip in clips],
        "target": [clip.target for clip in clips],
    }
    for name, lengths in sizes.items():
        shape = len(clips), max(lengths)
        values = 0.1 * torch.randn(shape) if name == "speech" else torch.randint(10, 8000, shape)
        batch |= {name: values.to(device), f"{name}_lengths": torch.tensor(lengths).to(device)}
    batch["teacher"] = torch.randn(*batch["target"].shape, width).to(device)
    return batch | {"teacher_lengths": batch["target_lengths"]}


def build(size: str, folder: Path, way: str, compiled: bool, device: str):
    """A model in training, and what takes a step with it."""
    import torch

    from comsl.training.task import ComSLTask

    encoder, _ = dimensions(size)
    name = "medium" if size == "tiny" else size
    args = configuration(name, folder, WAYS[way], encoder)
    torch.manual_seed(0)
    model = ComSLTask.build_model(args).train().to(device)
    (optimizer,) = ComSLTask.build_optimizers(args, model)
    if compiled:
        for layers in (m for m in model.modules() if isinstance(m, torch.nn.ModuleList)):
            for layer in layers:  # alike, so that it is compiled once
                layer.compile(dynamic=True)
    if way == "ZeRO-2":
        return model, zero_step(model, optimizer, args, device)

    def step(batch: dict) -> None:
        model(**batch)[0].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.grad_clip)
        optimizer.step()
        optimizer.zero_grad()

    return model, step


def zero_step(model, optimizer, args: argparse.Namespace, device: str) -> Callable[[dict], None]:
    """A step by DeepSpeed."""
    from espnet2.train.distributed_utils import DistributedOption

    from comsl.training import deepspeed_trainer

    options = argparse.Namespace(
        ngpu=int(device == "cuda"),
        accum_grad=1,
        grad_clip=args.grad_clip,
        deepspeed_config=TOP / "conf/deepspeed/zero2.json",
    )
    deepspeed_trainer._join(options, DistributedOption())
    config = deepspeed_trainer.read_config(options)
    zero = deepspeed_trainer.ZeroOptimizer(model, optimizer, config)

    def step(batch: dict) -> None:
        loss = zero.engine(**batch)[0]
        zero.engine.set_gradient_accumulation_boundary(True)
        zero.engine.backward(loss)
        zero.step()

    return step


def clock(function: Callable[[], object], device: str) -> float:
    """Seconds."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - started


def train(
    size: str,
    folder: Path,
    way: str,
    compiled: bool,
    batch_bins: int,
    batches: int,
    device: str,
    peak: float,
) -> dict:
    """Training steps of one way, on the language model of a folder."""
    import torch

    _, step = build(size, folder, way, compiled, device)
    clips = make_batches(WARM_UP + batches, batch_bins)
    width = dimensions(size)[1]["d_model"]
    tensors = [to_tensors(batch, width, device) for batch in clips]
    for batch in tensors[:WARM_UP]:
        step(batch)
    seconds = clock(lambda: [step(batch) for batch in tensors[WARM_UP:]], device)
    measured = [clip for batch in clips[WARM_UP:] for clip in batch]
    flops = sum(counts.train_joint(count(size), clip) for clip in measured) / seconds
    row = {"clips_a_second": len(measured) / seconds, "flops": flops}
    if way != "LoRA":  # it forms fewer gradients than are counted
        row["mfu"] = flops / peak
    if device == "cuda":
        row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return row


def infer(size: str, folder: Path, batches: int, device: str) -> dict:
    """Encoding and decoding, as stages 5 and 7 do it: rates and times that the plan rests on."""
    import numpy as np
    import torch

    from comsl.inference import SpeechTranslator
    from comsl.precision import autocast

    model, _ = build(size, folder, "plain", False, device)
    model.eval()
    sizes, clip = count(size), Clip(FRAME_RATE * 5.5, SOURCE * SECONDS + 2, TARGET * SECONDS + 2)
    speech = 0.1 * torch.randn(DECODED, 80000, device=device)
    lengths = torch.full((DECODED,), 80000, device=device)

    @torch.no_grad()
    def encode() -> None:
        with autocast(device):
            model.speech_encoder(speech, lengths)

    translator, tokens = SpeechTranslator(model), round(clip.target)

    def decode(clips: int, beams: int) -> float:
        waves = [np.zeros(80000, np.float32)] * clips
        search = {"beam_size": beams, "max_tokens": tokens}
        run = lambda: translator.generate("st", waves, ["fr"] * clips, clips, **search)  # noqa: E731
        run()
        return clock(run, device)

    encode()
    encoded = clock(lambda: [encode() for _ in range(batches)], device) / batches
    step, greedy = (decode(1, beams) / tokens for beams in (BEAMS, 1))
    whole = decode(DECODED, BEAMS)
    language = sizes.language
    flops = counts.encode(language, clip.positions)
    flops += BEAMS * counts.decode(language, tokens, clip.positions)
    flops += BEAMS * counts.score(language, tokens)
    left = max(whole - encoded - step * tokens, 0.05 * whole)  # of computing, not of bookkeeping
    return {
        "clips_a_second": DECODED / whole,
        "encoding": DECODED * counts.encode_speech(sizes.speech, clip.frames) / encoded,
        "decoding": DECODED * flops / left,
        "step": step,
        "greedy_step": greedy,
    }


def matrix_peak(device: str) -> float:
    """FLOP/s of a large matrix product, in bfloat16 on a GPU."""
    import torch

    gpu = device == "cuda"
    size = 8192 if gpu else 1024
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16 if gpu else torch.float32)
    matrix @ matrix
    return 2 * size**3 / min(clock(lambda: matrix @ matrix, device) for _ in range(5))


def alone(function: Callable[..., dict], *arguments) -> dict:
    """What a function returns in a process of its own, or why it fails."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except Exception as error:  # whatever a GPU's libraries raise
            return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def show(name: str, values: dict) -> None:
    """A row, as it is known."""
    numbers = {
        "clips_a_second": "{:.1f} clips/s",
        "flops": "{:.3g} FLOP/s",
        "mfu": "{:.0%} of peak",
    }
    numbers |= {"peak_gib": "{:.1f} GiB", "failed": "failed: {}"}
    shown = [text.format(values[key]) for key, text in numbers.items() if key in values]
    print(f"{name:34} {', '.join(shown)}", flush=True)


def write_costs(path: Path, what: str, memory: float, rows: dict[str, dict], peak: float) -> None:
    """costs.json with this device, `measured`, of the larger sizes that ran; nothing as long as
    too little of it has."""
    source = f"measured by benchmarks/gpu.py on {what}; a large matrix product reaches {peak:.3g}"
    trained = [row for name, row in rows.items() if "flops" in row and "checkpointing" not in name]
    inferred = [row for row in rows.values() if "encoding" in row]
    if not trained or not inferred:
        return
    device = {"what": f"{what}; training and decoding in bfloat16", "memory": memory, "bytes": 3}
    values = {"training": max(row["flops"] for row in trained)}
    values |= {key: inferred[-1][key] for key in ("encoding", "decoding", "step", "greedy_step")}
    for name, value in values.items():
        device[name] = {"value": float(f"{value:.3g}"), "sure": 1.3, "from": source}
    costs = read_costs(COSTS)
    costs["devices"]["measured"] = device
    path.write_text(json.dumps(costs, indent=2) + "\n")


def describe(device: str) -> tuple[str, float]:
    """Name and memory in GiB."""
    import torch

    if device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit(
                "error: there is no GPU here; --device cpu --sizes tiny tries the script"
            )
        about = torch.cuda.get_device_properties(0)
        return about.name, round(about.total_memory / 2**30)
    found = machine()
    return f"{found['cores']} cores, {found['processor']}", found["memory_gib"]


def measure(
    size: str, folder: Path, args: argparse.Namespace, peak: float
) -> Iterator[tuple[str, dict]]:
    """All rows of a size, named, as they are known."""
    write_language_model(folder, dimensions(size)[1])
    yield f"{size}, decoding", alone(infer, size, folder, args.batches, args.device)
    for word, way in itertools.product(args.compiled.split(), args.ways.split()):
        compiled = word == "true"
        options = (args.batch_bins, args.batches, args.device, peak)
        row = alone(train, size, folder, way, compiled, *options)
        yield f"{size}, {way}{', compiled' * compiled}", row


def main() -> None:
    args = parse_args()
    what, memory = describe(args.device)
    peak = matrix_peak(args.device)
    print(f"{what}, {memory} GiB, matrix product {peak:.3g} FLOP/s")
    found = {"machine": machine() | {"gpu": what}, "versions": versions(), "peak": peak}
    rows = {}
    for size in args.sizes.split():
        with TemporaryDirectory() as folder:
            for name, row in measure(size, Path(folder), args, peak):
                rows[name] = row
                show(name, row)
                if args.json:  # after each: the machine may be lent for some minutes
                    args.json.write_text(json.dumps(found | {"rows": rows}, indent=1) + "\n")
                if args.costs:
                    write_costs(args.costs, what, memory, rows, peak)
    if args.costs and not args.costs.is_file():
        raise SystemExit(f"error: {args.costs} not written: too little of it ran")


if __name__ == "__main__":
    main()
