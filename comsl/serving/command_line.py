"""`comsl translate` and `comsl transcribe`: recordings in, texts out."""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from comsl.cli import new_parser
from comsl.dtypes import DTYPES
from comsl.errors import DataError
from comsl.files import atomic_file
from comsl.languages import language
from comsl.recordings.translation import Recording, translate_recordings
from comsl.serving.formats import FORMATS, render
from comsl.serving.sources import Source, check_targets, open_sources
from comsl.serving.systems import SYSTEMS, load_system

EVERY = 10  # seconds between two lines of progress


def parse_args(description: str) -> argparse.Namespace:
    """The options of both commands. DataError: two of them that do not go together."""
    parser = new_parser(
        description,
        epilog="example: %(prog)s --format srt --output_dir subtitles talk.mp3 recordings/",
    )
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="recording in any format that FFmpeg reads, video too; a folder of them; - for"
        " standard input",
    )
    add(
        "--lang",
        help="language spoken in the recordings, such as fr; without it Whisper detects it",
    )
    add("--target_lang", help="language of the translation, of a model that knows several")
    add("--format", default="txt", choices=FORMATS, help="format of the output")
    add("--output_dir", type=Path, help="write a file per recording to this folder, print nothing")
    add(
        "--model",
        help="experiment, packed model or its id on the hub; without it comsl's own",
    )
    add("--system", default="comsl", choices=SYSTEMS, help="system to use")
    add("--whisper_model", default="base", help="Whisper's size or checkpoint")
    add("--beam_size", type=int, default=5, help="hypotheses of the beam search")
    add("--batch_size", type=int, default=16, help="stretches of speech per batch")
    add("--device", help="cpu, cuda, cuda:1, ...; without it a GPU where there is one")
    add_dtype(parser)
    args = parser.parse_intermixed_args()
    for name in ("beam_size", "batch_size"):
        if getattr(args, name) < 1:
            raise DataError(f"--{name} {getattr(args, name)}: at least 1, please")
    if args.lang:
        language(args.lang)
    return args


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """The option of all commands that use a model."""
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="in which ComSL's model computes; without it bfloat16 on a GPU that has it, float32"
        " elsewhere. On a CPU with AVX-512 bfloat16 is faster, and int8, which is less exact",
    )


def run(task: str, description: str) -> None:
    """Translate (`st`) or transcribe (`asr`) what the command line names. Ends with status 1 if
    a recording failed; the others are done all the same."""
    args = parse_args(description)
    with open_sources(args.files) as sources:
        if len(sources) > 1 and args.format in ("srt", "vtt") and not args.output_dir:
            raise DataError(f"{args.format} of several recordings: give --output_dir a folder")
        if args.output_dir:
            check_targets(sources.values())
            _make_writable(args.output_dir)
        if not _work(args, task, sources):
            sys.exit(1)


def _make_writable(folder: Path) -> None:
    """Make it, if need be, before hours are spent on what is to be in it. OSError: it can't be."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _work(args: argparse.Namespace, task: str, sources: dict[Path, Source]) -> bool:
    """Whether all went well."""
    started = time.monotonic()
    system, detector = load_system(
        args.system, args.model, args.whisper_model, args.device, args.target_lang, args.dtype
    )
    ready, seconds, failed = time.monotonic(), 0.0, 0
    search = {"beam_size": args.beam_size, "batch_size": args.batch_size}
    found = translate_recordings(system, sources, args.lang, task, detector, _Progress(), **search)
    for recording in found:
        seconds += recording.seconds
        try:
            _write(recording, sources, args)
        except BrokenPipeError:  # whoever reads the texts has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of it
            return False
        except (DataError, OSError) as error:
            failed += 1
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    worked = time.monotonic() - ready
    factor = f"; real-time factor {worked / seconds:.2f}" if seconds else ""
    logging.info(
        "%d of %d recordings, %.1f s of audio in %.1f s after %.1f s to start%s",
        len(sources) - failed, len(sources), seconds, worked, ready - started, factor,
    )  # fmt: skip
    return not failed


class _Progress:
    """Says how far a recording is, but not too often."""

    def __init__(self):
        self.last = time.monotonic()

    def __call__(self, recording: Recording) -> None:
        now = time.monotonic()
        if now - self.last >= EVERY and not recording.error:
            self.last = now
            logging.info("%s: %s done", recording.source, _clock(recording.seconds))


def _write(recording: Recording, sources: dict[Path, Source], args: argparse.Namespace) -> None:
    """Print the text, or put it in its file. DataError: the recording couldn't be heard."""
    name, target = sources[recording.source]
    if recording.error:  # of a pipe it names the file in which that is kept
        raise DataError(str(recording.error).replace(str(recording.source), name))
    _tell(name, recording)
    text = render(recording, args.format, name)
    if args.output_dir:
        with atomic_file(args.output_dir / f"{target}.{args.format}") as file:
            file.write_text(text, "utf-8")
    elif len(sources) > 1 and args.format in ("txt", "tsv"):
        print(f"==> {name} <==\n{text}", flush=True)
    else:
        print(text, end="", flush=True)


def _tell(name: str, recording: Recording) -> None:
    """Which language a recording is in, and how much is said."""
    if not recording.src_lang:
        return logging.info("%s: nobody speaks in its %s", name, _clock(recording.seconds))
    spoken = language(recording.src_lang).name
    how = "detected" if recording.detected else "as told"
    speech = sum(segment.end - segment.start for segment in recording.segments)
    logging.info(
        "%s: %s (%s), %s, of which %s speech",
        name, spoken, how, _clock(recording.seconds), _clock(speech),
    )  # fmt: skip


def _clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
