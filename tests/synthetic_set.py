"""A small made-up test set with hypotheses and training events, for tests of the scoring."""

from pathlib import Path

import numpy as np
import soundfile

from comsl.corpora.kaldi import write_dir, write_table

ENGLISH = (
    "Please enter your password, followed by the pound key.",
    "You have no new messages.",
    "The party you are calling is busy & cannot answer <script>alert(1)</script>.",
    "To hear this again, press one.",
    "Thank you for calling, goodbye!",
)
SOURCES = {
    "es": "Introduzca la contraseña número {}, por favor.",
    "ja": "パスワード {} を入力してください。",
    "it": "Inserisca la parola d'ordine {} adesso.",
}


def write_raw(raw: Path, langs: tuple[str, ...] = ("es", "it")) -> None:
    """`raw/test_<lang>` with a second of a tone per utterance."""
    for lang in langs:
        ids = [f"{lang}_speaker-{number}" for number in range(len(ENGLISH))]
        audio = raw / "wav" / f"{lang}.flac"
        audio.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(audio, 0.1 * np.sin(np.arange(16000) * 0.1), 16000)
        tables = {
            "wav.scp": dict.fromkeys(ids, str(audio)),
            "utt2spk": dict.fromkeys(ids, f"{lang}_speaker"),
            "utt2dur": dict.fromkeys(ids, "1.0"),
            "utt2lang": dict.fromkeys(ids, lang),
            "text.src": {key: SOURCES[lang].format(index) for index, key in enumerate(ids)},
            "text.tgt": dict(zip(ids, ENGLISH, strict=True)),
        }
        write_dir(raw / f"test_{lang}", tables)


def write_hypotheses(folder: Path, raw: Path, tasks: str, change=lambda text: text) -> None:
    """The references of `raw`, each put through `change`, as a system's output."""
    from comsl.corpora.kaldi import read_table

    for source in raw.glob("test_*"):
        for task in tasks.split():
            reference = read_table(source / ("text.src" if task == "asr" else "text.tgt"))
            texts = {key: change(text) for key, text in reference.items()}
            write_table(folder / source.name / f"text.{task}", texts)


def write_events(path: Path, start: float, events: list[tuple[float, int, str, float]]) -> None:
    """A TensorBoard event file opened at `start`; events are (wall time, step, tag, value)."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=start, file_version="brain.Event:2").SerializeToString())
        for wall_time, step, tag, value in events:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            event = Event(wall_time=wall_time, step=step, summary=summary)
            writer.write(event.SerializeToString())
        writer.flush()


def write_experiment(folder: Path, start: float = 1000.0, epochs: int = 4) -> None:
    """Events of a training of ten steps and 60 s an epoch, with falling losses, rising BLEU."""
    train, valid = [], []
    for step in range(5, 10 * epochs + 1, 5):
        time = start + 6 * step
        for scale, tag in enumerate(("loss", "loss_st", "loss_asr", "loss_mt", "loss_cml"), 1):
            train.append((time, step, tag, 20 * scale / step))
        if step % 10 == 0:
            train.append((time, step, "iter_epoch", step / 10))
            valid.append((time + 0.1, step, "loss_st", 30 / step))
            valid.append((time + 0.1, step, "bleu", step / 4))
            valid.append((time + 0.1, step, "peak_memory_gb", 1.5))
    for side, events in (("train", train), ("valid", valid)):
        write_events(
            folder / "tensorboard" / side / "events.out.tfevents.1.host.1.0", start, events
        )
