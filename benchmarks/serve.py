"""How fast `comsl translate` and `comsl serve` are, by the model that comes with the package.

Seconds from typing `comsl translate CLIP` to its text. Requests a second of 8 clients at a time
against one client, one after the other, by the same server, over HTTP. Then a recording of joined
prompts, with a second of silence between them, beam 5: time and peak memory of `comsl translate`
for files of several lengths, its start included; and for two minutes ours beside openai-whisper's
`transcribe(task="translate")` and faster-whisper's batched pipeline in int8, which looks for speech
by the same silero-vad. Needs `pip install -r benchmarks/requirements.txt`.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.common import interleave, parser, peak_memory, report, row
from benchmarks.decode import assemble, choose
from comsl.corpora.audio import open_flac
from comsl.corpora.kaldi import read_table
from comsl.corpora.samples import RATE
from comsl.corpora.waves import read_wave
from comsl.serving.command_line import DTYPES

BEAM = 5
START, FACTOR, GIB = 8, 0.3, 3  # seconds, real-time factor, memory: the project's own limits


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=1)
    options.add_argument("--model", type=Path, default=Path("comsl/pretrained"))
    options.add_argument("--dtype", choices=DTYPES[1:], help="of ours; without it float32")
    options.add_argument("--raw", type=Path, default=Path("dump/asterisk/raw"))
    options.add_argument("--langs", default="es fr it ru")
    options.add_argument("--utterances", type=int, default=8, help="of each language, as requests")
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--lang", default="fr", help="of the long recording")
    options.add_argument("--minutes", default="10 60 120", help="lengths of it, for ours")
    options.add_argument("--compared_minutes", type=float, default=2, help="of it, for all")
    options.add_argument("--weights", type=Path, default=Path("downloads/whisper/base.ct2"))
    return options.parse_args()


def command(options: argparse.Namespace) -> list:
    """`translate` with the model."""
    dtype = ["--dtype", options.dtype] if options.dtype else []
    return ["translate", "--model", options.model, *dtype]


def measure_start(options: argparse.Namespace, clip: Path) -> float:
    """Seconds until the command has printed a clip's text."""
    words = [sys.executable, "-m", "comsl", *command(options), clip]

    def start() -> None:
        subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)

    return interleave({"start to text": start}, 2 * options.repeats)["start to text"]


@contextmanager
def served(options: argparse.Namespace) -> Iterator[str]:
    """Address of a server of ComSL alone, in this process."""
    import uvicorn

    from comsl.serving.server import Limits, create_app
    from comsl.serving.systems import load_system

    system, detector = load_system("comsl", options.model, dtype=options.dtype)
    app = create_app({"comsl": system}, detector, Limits(10**8, 3600, 2 * options.clients))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join()


def measure_clients(options: argparse.Namespace, clips: list[tuple[str, Path]]) -> dict[str, float]:
    """Seconds that many clients and one take for clips, each with its language."""
    import openai

    with served(options) as url:
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)

        def ask(clip: tuple[str, Path]) -> str:
            lang, file = clip
            body = {"language": lang}
            return client.audio.translations.create(file=file, model="comsl", extra_body=body).text

        def together() -> None:
            with ThreadPoolExecutor(options.clients) as pool:
                list(pool.map(ask, clips))

        ways = {"clients": together, "one by one": lambda: [ask(clip) for clip in clips]}
        return interleave(ways, options.repeats)


def joined(options: argparse.Namespace, minutes: float) -> Iterator[np.ndarray]:
    """Prompts (T,) of the test set, again and again, each with a second of silence behind it."""
    paths = read_table(options.raw / f"test_{options.lang}" / "wav.scp")
    left = round(60 * minutes * RATE)
    for key, path in cycle(paths.items()):
        block = np.pad(read_wave(key, path), (0, RATE))[:left]
        left -= len(block)
        yield block
        if not left:
            return


def translate(system, audio: Iterator[np.ndarray], lang: str) -> None:
    """As `comsl translate` does."""
    from comsl.recordings.translation import translate_recordings

    (recording,) = translate_recordings(system, [audio], lang, batch_size=16, beam_size=BEAM)
    if recording.error:
        raise recording.error


def measure_long(options: argparse.Namespace, minutes: float) -> tuple[float, float]:
    """Seconds of the command for so much of the long recording, and its peak memory, GiB."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "long.flac")
        with open_flac(recording) as file:
            for block in joined(options, minutes):
                file.write(block)
        words = [*command(options), "--lang", options.lang, "--output_dir", folder, recording]
        return peak_memory(run, words)


def run(words: list) -> float:
    """Seconds that a command of ours takes in this process."""
    from comsl.__main__ import main

    sys.argv = ["comsl", *map(str, words)]
    started = time.perf_counter()
    main()
    return time.perf_counter() - started


def compare(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of each system for the recording's beginning."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    from comsl.encoders.whisper_weights import load_whisper
    from comsl.serving.systems import load_system

    wave = np.concatenate(list(joined(options, options.compared_minutes)))
    system, _ = load_system("comsl", options.model, dtype=options.dtype)
    whisper = load_whisper("base", "downloads")
    with tempfile.TemporaryDirectory() as folder:
        assemble(Path(folder), options.weights)
        faster = BatchedInferencePipeline(
            WhisperModel(folder, "cpu", compute_type="int8", cpu_threads=options.threads)
        )
    decoding = {"language": options.lang, "task": "translate", "beam_size": BEAM}
    systems = {
        "ours": lambda: translate(system, iter([wave]), options.lang),
        "openai-whisper": lambda: whisper.transcribe(wave, fp16=False, **decoding),
        "faster-whisper": lambda: list(faster.transcribe(wave, batch_size=16, **decoding)[0]),
    }
    return interleave(systems, options.repeats)


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    torch.set_num_threads(options.threads)
    clips = [
        (lang, Path(path)) for lang, table in choose(options).items() for path in table.values()
    ]
    start = measure_start(options, clips[0][1])
    rows = [row("start to text", start, START, "s; the baseline is the limit", "lower")]
    seconds = measure_clients(options, clips)
    rates = len(clips) / seconds["clients"], len(clips) / seconds["one by one"]
    rows.append(row(f"{options.clients} clients against one", *rates, "requests/s"))
    for minutes in map(float, options.minutes.split()):
        seconds, memory = measure_long(options, minutes)
        factor, limit = seconds / (60 * minutes), "; the baseline is the limit"
        rows.append(
            row(f"{minutes:g} minutes", factor, FACTOR, "real-time factor" + limit, "lower")
        )
        rows.append(row(f"{minutes:g} minutes", memory, GIB, "GiB" + limit, "lower"))
    compared, length = compare(options), 60 * options.compared_minutes
    for name in ("openai-whisper", "faster-whisper"):
        factors = compared["ours"] / length, compared[name] / length
        rows.append(row(f"against {name}", *factors, "real-time factor", "lower"))
    report(rows, options, {"requests": len(clips)})


if __name__ == "__main__":
    main()
