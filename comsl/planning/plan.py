"""What a training will need, before it starts: disk, memory of each device, time of each stage.

Times are FLOPs counted from the model's dimensions (counts.py), divided by rates. Rates, and all
else that was measured or assumed, stand in costs.json, each with its source and how sure it is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from comsl.errors import DataError
from comsl.planning import counts
from comsl.planning.counts import FRAME_RATE, SIZES, Clip
from comsl.table import Table

COSTS = Path(__file__).with_name("costs.json")
WINDOW = 30  # seconds to which Whisper itself pads
ROWS = 128  # decoder states whose logits exist at a time (objectives/likelihood.py)
COPIES = 5  # of these logits: probabilities of student and teacher, gradients
BEAMS = 5
DECODED, TRANSCRIBED = 32, 8  # utterances a batch in stage 7, and by Whisper in stage 8
MB, GB, GIB = 1e6, 1e9, 2**30


@dataclass(frozen=True)
class Job:
    """What is to be trained, and on what.

    hours: of transcribed and translated speech, those of stage 4 with it; clip_seconds,
    eval_clip_seconds: mean clip of these, and of dev and test; epochs: of language model, frozen
    and joint phase; batch_size: clips that one device takes at a time; trained_blocks: of the
    speech encoder in the joint phase, None all; nj: processes that prepare data; silence: seconds
    after each clip.
    """

    hours: float
    model: str
    device: str
    gpus: int = 1
    clip_seconds: float = 5.0
    dev_hours: float = 0.0
    test_hours: float = 0.0
    eval_clip_seconds: float = 5.0
    epochs: tuple[float, float, float] = (5, 5, 10)
    batch_size: int = 8
    trained_blocks: int | None = None
    checkpointing: bool = False
    nj: int = 2
    silence: float = 0.5

    @property
    def all_hours(self) -> float:
        """Of all sets."""
        return self.hours + self.dev_hours + self.test_hours


@dataclass(frozen=True)
class Part:
    """A set: how many clips, and the lengths of a mean one."""

    clips: float
    clip: Clip


@dataclass(frozen=True)
class Estimate:
    """A value that lies between value / sure and value * sure; constants: what it rests on."""

    name: str
    value: float
    sure: float
    constants: tuple[str, ...] = ()


def read_costs(path: Path = COSTS) -> dict:
    """costs.json, or another of its form. DataError: it has no such form."""
    try:
        costs = json.loads(path.read_text(encoding="utf-8"))
        _ = [device["what"] for device in costs["devices"].values()], costs["start"]["value"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no table of costs: {error}") from None
    return costs


class Plan:
    """Estimates of a job. DataError: a device that `costs` lacks, blocks that the model lacks."""

    def __init__(self, job: Job, costs: dict):
        if job.device not in costs["devices"]:
            known = " ".join(costs["devices"])
            raise DataError(f"unknown device '{job.device}'; known: {known}")
        blocks = SIZES[job.model].speech.layers
        if job.trained_blocks is not None and not 0 <= job.trained_blocks <= blocks:
            raise DataError(f"{job.trained_blocks} trained blocks: the encoder has {blocks}")
        self.job, self.costs = job, costs
        self.device = costs["devices"][job.device]
        self.size = SIZES[job.model]
        self.language = self.size.language
        self.train = self._part(job.hours, job.clip_seconds)
        self.dev = self._part(job.dev_hours, job.eval_clip_seconds)
        self.test = self._part(job.test_hours, job.eval_clip_seconds)

    def _part(self, hours: float, seconds: float) -> Part:
        """Tokens count the language code and `</s>`."""
        rates = (self.costs[name]["value"] for name in ("source_tokens", "target_tokens"))
        source, target = (rate[self.job.model] * seconds + 2 for rate in rates)
        frames = FRAME_RATE * (seconds + self.job.silence)
        return Part(hours * 3600 / seconds, Clip(frames, source, target))

    def _constant(self, name: str) -> dict:
        return self.device[name] if name in self.device else self.costs[name]

    def _cost(self, name: str) -> float:
        return self._constant(name)["value"]

    def _estimate(self, name: str, value: float, *constants: str) -> Estimate:
        sure = max(self._constant(constant)["sure"] for constant in constants)
        return Estimate(name, value, sure, constants)

    def parameters(self) -> tuple[int, int]:
        """Of the whole model, and of what the joint phase trains; the teacher not counted."""
        speech = self.size.speech
        whole = counts.speech_encoder_parameters(speech) + counts.adapter_parameters(self.size)
        whole += counts.language_model_parameters(self.language)
        if self.job.trained_blocks is None:
            return whole, whole
        blocks = self.job.trained_blocks
        top = blocks * counts.block_parameters(speech.width) + (2 * speech.width if blocks else 0)
        return whole, whole - counts.speech_encoder_parameters(speech) + top

    # Disk, in bytes

    def storage(self) -> list[Estimate]:
        """What each kind of file takes."""
        hours = self.job.all_hours
        sets = (self.train, self.dev)  # of the test set, nothing is cached
        frames = sum(part.clips * part.clip.frames for part in sets)
        tokens = sum(part.clips * part.clip.target for part in sets)
        archives, flac = (hours * self._cost(name) * MB for name in ("archives", "flac"))
        states = 2 * frames * self.size.speech.width
        teacher = 4 * tokens * self.language.width
        return [
            self._estimate("archives of MP3 clips", archives, "archives"),
            self._estimate("16 kHz FLAC (stage 1)", flac, "flac"),
            Estimate("states of the speech encoder (stage 5)", states, 1.1),
            self._estimate("states of the teacher (stage 5)", teacher, "target_tokens"),
            Estimate("models and checkpoints (stages 3, 6, 11)", self._checkpoints(), 1.1),
        ]

    def _checkpoints(self) -> float:
        """A run keeps its best and its newest model, and the last two states of training with
        AdamW's two moments."""
        language = counts.language_model_parameters(self.language)
        frozen = language + counts.adapter_parameters(self.size)
        whole, trained = self.parameters()
        runs = [(language, language), (frozen, frozen), (whole, trained)]
        kept = sum(2 * 4 * every + 2 * (4 * every + 8 * moved) for every, moved in runs)
        return kept + 4 * language + 4 * whole  # stage 3's folder, stage 11's file

    # Memory of one device in the joint phase, in bytes

    def memory(self) -> dict[str, dict[str, float]]:
        """Way of training -> what takes how much."""
        whole, trained = self.parameters()
        head = self.language.vocabulary * self.language.width
        half = self.device["bytes"] < 4  # bfloat16 by autocast, which makes copies of the weights
        weights = 4 * whole + 2 * half * trained
        gpus = self.job.gpus
        ways = {
            "plain": (weights, 4 * trained, 8 * trained),
            # The part of a device that it updates: gradients; a copy of the weights, two moments.
            "ZeRO-2": (weights, 4 * trained / gpus, 12 * trained / gpus),
            # A buffer, as large as the largest parameter, by which gradients leave.
            "ZeRO-2, offload": (weights, 4 * head, 0),
        }
        common = {
            "teacher's head": (2 if half else 4) * head,
            "logits": 4 * (head + COPIES * ROWS * self.language.vocabulary),
            "activations": self.job.batch_size * self.clip_memory(),
            "libraries": self._cost("context") * GIB,
        }
        names = ("weights", "gradients", "optimiser")
        return {way: dict(zip(names, parts, strict=True)) | common for way, parts in ways.items()}

    def clip_memory(self) -> float:
        """Bytes that one more clip in a batch takes."""
        job = self.job
        blocks, checkpointing = job.trained_blocks, job.checkpointing
        values = counts.keep_joint(self.size, self.train.clip, blocks, checkpointing)
        return values * self.device["bytes"]

    # Time, in seconds

    def time(self) -> list[Estimate]:
        """Of each stage."""
        preparation = self.job.all_hours * self._cost("preparation") / self.job.nj
        training = ("training", "scaling") if self.job.gpus > 1 else ("training",)
        decoding = ("decoding", "step", "longest")
        return [
            self._estimate("1, 2 data preparation", preparation, "preparation"),
            self._estimate("3 language model", self._language_model(), *training),
            self._estimate("5 states of encoder and teacher", self._features(), "encoding"),
            self._estimate("6 frozen phase", self._frozen(), *training),
            self._estimate("6 joint phase", self._joint(), *training),
            self._estimate("7 decoding", self._decoding(), *decoding),
            self._estimate("8 baselines", self._baselines(), *decoding),
            self._estimate("9 to 11 report, pack", self._start(3), "start"),
        ]

    def _start(self, processes: int) -> float:
        return processes * self._cost("start")

    def _language_model(self) -> float:
        job, language = self.job, self.language
        flops, dev_flops = (
            part.clips * counts.train_language_model(language, part.clip)
            for part in (self.train, self.dev)
        )
        validation = self._generate("mt", self.dev, 1)
        return self._start(2) + self._train(job.epochs[0], flops, dev_flops, validation)

    def _features(self) -> float:
        flops = 0.0
        for part in (self.train, self.dev):
            clip = part.clip
            one = counts.encode_speech(self.size.speech, clip.frames)
            one += counts.encode(self.language, clip.source)
            one += counts.decode(self.language, clip.target, clip.source)
            flops += part.clips * one
        return self._start(2) + flops / self._cost("encoding")

    def _frozen(self) -> float:
        flops, dev_flops = (
            part.clips * counts.train_frozen(self.size, part.clip)
            for part in (self.train, self.dev)
        )
        validation = self._generate("st", self.dev, 1)
        return self._train(self.job.epochs[1], flops, dev_flops, validation)

    def _joint(self) -> float:
        blocks = self.job.trained_blocks
        flops, dev_flops = (
            part.clips * counts.train_joint(self.size, part.clip, blocks)
            for part in (self.train, self.dev)
        )
        validation = self._encode(self.dev) + self._generate("st", self.dev, 1)
        return self._train(self.job.epochs[2], flops, dev_flops, validation)

    def _train(self, epochs: float, flops: float, dev_flops: float, validation: float) -> float:
        """A training whose epoch takes `flops`, and then the loss of the dev set, a third of the
        FLOPs of training on it, and its greedy translation, seconds of one device."""
        if self.job.checkpointing:  # the forward pass is done twice
            flops *= 4 / 3
        computed = (epochs * flops + ceil(epochs) * dev_flops / 3) / self._cost("training")
        devices = self.job.gpus * self._cost("scaling") if self.job.gpus > 1 else 1
        return self._start(1) + (computed + ceil(epochs) * validation) / devices

    def _decoding(self) -> float:
        generated = sum(self._generate(task, self.test, BEAMS) for task in ("st", "asr", "mt"))
        return self._start(1) + 2 * self._encode(self.test) + generated

    def _baselines(self) -> float:
        """Whisper's two tasks on padded windows; cascade and true transcripts, two of text."""
        clips, clip = self.test.clips, self.test.clip
        padded = Part(clips, Clip(FRAME_RATE * WINDOW, clip.source, clip.target))
        decoder = counts.whisper_decoder(self.size.speech)
        seconds = self._start(3) + self._encode(padded) + 2 * self._generate("mt", self.test, BEAMS)
        for tokens in (clip.target, clip.source):
            flops = counts.decode(decoder, BEAMS * tokens, FRAME_RATE * WINDOW)
            flops += counts.score(decoder, BEAMS * tokens)
            seconds += clips * flops / self._cost("decoding")
            seconds += self._steps(clips, TRANSCRIBED, tokens, BEAMS)
        return seconds

    def _encode(self, part: Part) -> float:
        flops = counts.encode_speech(self.size.speech, part.clip.frames)
        return part.clips * flops / self._cost("encoding")

    def _generate(self, task: str, part: Part, beams: int) -> float:
        """Translation or transcript by the language blocks, given speech states or text."""
        clip, language = part.clip, self.language
        tokens = (clip.source if task == "asr" else clip.target) - 1
        memory = clip.source if task == "mt" else clip.positions
        flops = counts.encode(language, memory)
        flops += beams * (counts.decode(language, tokens, memory) + counts.score(language, tokens))
        computed = part.clips * flops / self._cost("decoding")
        return computed + self._steps(part.clips, DECODED, tokens, beams)

    def _steps(self, clips: float, batch: int, tokens: float, beams: int) -> float:
        """What the steps of the search cost beside FLOPs."""
        step = self._cost("step" if beams > 1 else "greedy_step")
        return ceil(clips / batch) * self._cost("longest") * tokens * step

    # Tables

    def tables(self) -> list[Table]:
        """All of it, and what it rests on."""
        time = self.time()
        short = sum(estimate.value for estimate in time) < 3 * 3600
        return [
            _table("Disk, GB", self.storage(), GB),
            self._memory_table(),
            _table("Minutes", time, 60) if short else _table("Hours", time, 3600),
            self._constants_table(),
        ]

    def _memory_table(self) -> Table:
        ways = self.memory()
        rows = [[name, *(parts[name] / GIB for parts in ways.values())] for name in ways["plain"]]
        rows.append(["all", *(sum(parts.values()) / GIB for parts in ways.values())])
        free = (self.device["memory"] * GIB - sum(parts.values()) for parts in ways.values())
        fits = (self.job.batch_size + int(room // self.clip_memory()) for room in free)
        rows.append(["clips at a time that fit", *(max(0, clips) for clips in fits)])
        note = (
            f"Of {self.device['memory']} GiB. Weights are kept in single precision. Plain: every "
            "device holds all of AdamW's state; offload keeps it in main memory. The teacher's "
            "states are cached (stage 5). Activations are those of "
            f"{self.job.batch_size} clips at a time, sure within a factor of 1.3."
        )
        title = "Memory of a device in the joint phase, GiB"
        return Table(title, ["", *ways], rows, decimals=2, note=note)

    def _constants_table(self) -> Table:
        """Of this device and model."""
        names = [name for name in self.device if isinstance(self.device[name], dict)]
        names += [name for name in self.costs if "value" in self.costs[name]]
        rows = []
        for name in names:
            constant = self._constant(name)
            value = constant["value"]
            value = value[self.job.model] if isinstance(value, dict) else value
            rows.append([name, f"{value:g}", f"{constant['sure']:g}", constant["from"]])
        header = ["constant", "value", "sure within a factor of", "from"]
        return Table("What this rests on", header, rows, note=self.device["what"])


def _table(title: str, estimates: Sequence[Estimate], unit: float) -> Table:
    """With the bounds of each, and of the sum as if all erred to the same side."""
    low, value, high = (sum(e.value * e.sure**power for e in estimates) for power in (-1, 0, 1))
    rows = [
        [e.name, e.value / unit, e.value / e.sure / unit, e.value * e.sure / unit,
         ", ".join(e.constants)]
        for e in estimates
    ]  # fmt: skip
    rows.append(["all", value / unit, low / unit, high / unit, ""])
    return Table(title, ["", "estimate", "at least", "at most", "rests on"], rows, decimals=2)
