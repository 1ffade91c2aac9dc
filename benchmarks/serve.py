"""`comsl serve` under load, and the real-time factor of a long recording.

Requests a second of 8 clients at a time against one client, one after the other, by the same
server, over HTTP. Then a recording of joined prompts, with a second of silence between them, beam
5: ours as `comsl translate` does it, openai-whisper's `transcribe(task="translate")`, and
faster-whisper's batched pipeline in int8, which looks for speech by the same silero-vad. Needs `pip
install -r benchmarks/requirements.txt`.
"""

import argparse
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.common import interleave, parser, report, row
from benchmarks.decode import assemble, choose
from comsl.corpora.samples import RATE
from comsl.corpora.waves import read_wave

BEAM = 5


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=1)
    options.add_argument("--model", type=Path, default=Path("exp/asterisk/asterisk_joint"))
    options.add_argument("--raw", type=Path, default=Path("dump/asterisk/raw"))
    options.add_argument("--langs", default="es fr it ru")
    options.add_argument("--utterances", type=int, default=8, help="of each language, as requests")
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--lang", default="fr", help="of the long recording")
    options.add_argument("--minutes", type=float, default=60, help="of the long recording")
    options.add_argument("--weights", type=Path, default=Path("downloads/whisper/base.ct2"))
    return options.parse_args()


@contextmanager
def served(model: Path, threads: int) -> Iterator[str]:
    """Address of a server of ComSL alone, in this process."""
    import uvicorn

    from comsl.serving.server import Limits, create_app
    from comsl.serving.systems import load_system

    system, detector = load_system("comsl", model)
    app = create_app({"comsl": system}, detector, Limits(10**8, 3600, 2 * threads))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join()


def measure_clients(options: argparse.Namespace) -> tuple[int, dict[str, float]]:
    """Requests, and seconds that many clients and one take for them."""
    import openai

    clips = [
        (lang, Path(path)) for lang, table in choose(options).items() for path in table.values()
    ]
    with served(options.model, options.clients) as url:
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)

        def ask(clip: tuple[str, Path]) -> str:
            lang, file = clip
            body = {"language": lang}
            return client.audio.translations.create(file=file, model="comsl", extra_body=body).text

        def together() -> None:
            with ThreadPoolExecutor(options.clients) as pool:
                list(pool.map(ask, clips))

        ways = {"clients": together, "one by one": lambda: [ask(clip) for clip in clips]}
        return len(clips), interleave(ways, options.repeats)


def join(options: argparse.Namespace) -> np.ndarray:
    """Prompts of the test set, again and again, with a second of silence behind each (T,)."""
    from comsl.corpora.kaldi import read_table

    paths = read_table(options.raw / f"test_{options.lang}" / "wav.scp")
    pause = np.zeros(RATE, np.float32)
    once = [part for key, path in paths.items() for part in (read_wave(key, path), pause)]
    samples = round(60 * options.minutes * RATE)
    wave = np.concatenate(once)
    return np.tile(wave, -(-samples // len(wave)))[:samples]


def measure_recording(options: argparse.Namespace) -> dict[str, float]:
    """System -> seconds for the long recording."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    from comsl.encoders.whisper_weights import load_whisper
    from comsl.recordings.translation import translate_recordings
    from comsl.serving.systems import load_system

    wave, lang = join(options), options.lang
    system, _ = load_system("comsl", options.model)
    whisper = load_whisper("base", "downloads")
    with tempfile.TemporaryDirectory() as folder:
        assemble(Path(folder), options.weights)
        faster = BatchedInferencePipeline(
            WhisperModel(folder, "cpu", compute_type="int8", cpu_threads=options.threads)
        )
    decoding = {"language": lang, "task": "translate", "beam_size": BEAM}
    systems = {
        "ours": lambda: list(
            translate_recordings(system, [(wave, RATE)], lang, batch_size=16, beam_size=BEAM)
        ),
        "openai-whisper": lambda: whisper.transcribe(wave, fp16=False, **decoding),
        "faster-whisper": lambda: list(faster.transcribe(wave, batch_size=16, **decoding)[0]),
    }
    return interleave(systems, options.repeats)


def main() -> None:
    """Measure and report."""
    options = parse_args()
    import torch

    torch.set_num_threads(options.threads)
    requests, seconds = measure_clients(options)
    rates = requests / seconds["clients"], requests / seconds["one by one"]
    rows = [row(f"{options.clients} clients against one", *rates, "requests/s")]
    seconds = measure_recording(options)
    length = 60 * options.minutes
    for name in ("openai-whisper", "faster-whisper"):
        factors = seconds["ours"] / length, seconds[name] / length
        rows.append(row(f"against {name}", *factors, "real-time factor", "lower"))
    report(rows, options, {"requests": requests})


if __name__ == "__main__":
    main()
