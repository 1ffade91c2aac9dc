"""Audio in, samples out: containers, lengths, channels, damage, arrays, names, memory."""

import tracemalloc
from fractions import Fraction
from pathlib import Path
from unicodedata import normalize

import av
import numpy as np
import pytest
import soundfile
import soxr
import torch
from conftest import run_tool
from scipy.signal import correlate

from comsl.corpora import kaldi
from comsl.corpora.audio import read_audio
from comsl.corpora.utterances import Utterance, prepare_recording
from comsl.errors import DataError
from comsl.recordings.segmentation import cut
from comsl.recordings.source import read_speech

RATE = 16000


def speech(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Noise (T,) at 16 kHz between 200 and 3000 Hz: every codec keeps it, every place differs."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=round(seconds * RATE)))
    hertz = np.fft.rfftfreq(round(seconds * RATE), 1 / RATE)
    spectrum[(hertz < 200) | (hertz > 3000)] = 0
    wave = np.fft.irfft(spectrum)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


class Pipe:
    """What can't be sought in: no length gets into a header later."""

    def __init__(self, path: Path):
        self.path, self.data = path, b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def close(self) -> None:
        self.path.write_bytes(self.data)


def as_format(channels: np.ndarray, name: str) -> np.ndarray:
    """Floats (channels, T) in one of FFmpeg's formats, as PyAV wants them."""
    kind = name.removesuffix("p")
    if kind == "u8":
        samples = (127 * channels + 128).astype(np.uint8)
    elif kind in ("s16", "s32"):
        samples = (channels * np.float64(2 ** (int(kind[1:]) - 1))).astype(f"int{kind[1:]}")
    else:
        samples = channels.astype({"flt": np.float32, "dbl": np.float64}[kind])
    return np.ascontiguousarray(samples if name.endswith("p") else samples.T.reshape(1, -1))


def encode(
    path: Path,
    wave: np.ndarray,
    codec: str,
    rate: int = RATE,
    layout: str = "mono",
    container: str | None = None,
    muxer: dict | None = None,
    pipe: bool = False,
    **options: str,
) -> Path:
    """Write `wave` (T,) at 16 kHz, the same in every channel of the layout."""
    wave = soxr.resample(wave, RATE, rate)
    channels = np.tile(wave, (len(av.AudioLayout(layout).channels), 1))
    file = Pipe(path) if pipe else str(path)
    container = container or path.suffix[1:]
    with av.open(file, "w", format=container, options=muxer or {}) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout, options=options)
        stream.codec_context.thread_count = 1  # threads wouldn't survive a fork
        size = stream.codec_context.frame_size or 1024
        for start in range(0, len(wave), size):
            samples = as_format(channels[:, start : start + size], stream.format.name)
            frame = av.AudioFrame.from_ndarray(samples, stream.format.name, layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    if pipe:
        file.close()
    return path


def check_heard(heard: np.ndarray, wave: np.ndarray, likeness: float = 0.9) -> None:
    """`wave` is in it, begins and ends within 50 ms of where it did."""
    assert heard.dtype == np.float32
    assert abs(len(heard) - len(wave)) <= 0.05 * RATE
    products = correlate(heard, wave)
    assert abs(int(products.argmax()) - (len(wave) - 1)) <= 0.05 * RATE
    assert products.max() > likeness * np.linalg.norm(heard) * np.linalg.norm(wave)


def heard(audio) -> np.ndarray:
    return np.concatenate(list(read_speech(audio)))


FILES = [
    ("a.wav", "pcm_u8", {"rate": 8000}),
    ("a.wav", "pcm_s16le", {"rate": 11025, "layout": "stereo"}),
    ("a.wav", "pcm_s24le", {"rate": 96000}),
    ("a.wav", "pcm_s32le", {"rate": 48000, "layout": "5.1"}),
    ("a.wav", "pcm_f32le", {"rate": 22050}),
    ("a.wav", "pcm_f64le", {"rate": 44100, "layout": "quad"}),
    ("a.wav", "pcm_alaw", {"rate": 8000}),
    ("a.wav", "pcm_mulaw", {"rate": 8000, "layout": "stereo"}),
    ("a.wav", "adpcm_ms", {"rate": 44100}),
    ("a.wav", "pcm_s16le", {"pipe": True}),
    ("a.flac", "flac", {"rate": 96000, "layout": "3.0"}),
    ("a.flac", "flac", {"pipe": True}),
    ("a.ogg", "vorbis", {"layout": "stereo", "strict": "-2"}),
    ("a.ogg", "flac", {"rate": 32000, "pipe": True}),
    ("a.opus", "libopus", {"rate": 48000, "layout": "5.1"}),
    ("a.opus", "libopus", {"rate": 8000, "pipe": True}),
    ("a.mp3", "libmp3lame", {"rate": 44100, "layout": "stereo"}),
    ("a.mp3", "libmp3lame", {"rate": 44100, "pipe": True}),
    ("a.mp3", "libmp3lame", {"rate": 44100, "muxer": {"write_xing": "0"}, "q": "4"}),
    ("a.m4a", "aac", {"container": "ipod"}),
    ("a.m4a", "alac", {"rate": 44100, "container": "ipod", "layout": "5.1"}),
    ("a.mp4", "aac", {"rate": 48000, "layout": "5.1"}),
    (
        "a.mp4",
        "aac",
        {"rate": 48000, "pipe": True, "muxer": {"movflags": "empty_moov"}},
    ),
    ("a.aac", "aac", {"rate": 44100, "container": "adts"}),
    ("a.webm", "libopus", {"rate": 48000, "layout": "stereo"}),
    ("a.webm", "libopus", {"rate": 48000, "pipe": True}),
    ("a.mka", "ac3", {"rate": 48000, "layout": "5.1", "container": "matroska"}),
    ("a.wma", "wmav2", {"rate": 44100, "layout": "stereo", "container": "asf", "b": "128000"}),
    ("a.g722", "g722", {}),
    ("a.aiff", "pcm_s16be", {"rate": 44100}),
]


@pytest.mark.parametrize(("name", "codec", "options"), FILES)
def test_every_container_is_heard_from_end_to_end(tmp_path, name, codec, options) -> None:
    wave = speech()
    check_heard(read_audio(encode(tmp_path / name, wave, codec, **options)), wave)


def test_speech_codecs_that_none_here_encodes(tmp_path: Path) -> None:
    wave = soxr.resample(speech(), RATE, 8000)
    soundfile.write(tmp_path / "a.gsm", wave, 8000, format="RAW", subtype="GSM610")
    check_heard(read_audio(tmp_path / "a.gsm"), speech(), 0.6)
    frame = b"\x3c" + bytes(range(31))  # of 20 ms
    (tmp_path / "a.amr").write_bytes(b"#!AMR\n" + 50 * frame)
    assert len(read_audio(tmp_path / "a.amr")) == RATE


@pytest.fixture(scope="session")
def odd(tmp_path_factory) -> dict[str, Path]:
    """Files that have been heard in part, or not at all, by the names of their stems."""
    folder = tmp_path_factory.mktemp("odd")
    one, two, files = speech(), speech(seed=1), {}

    def write(name: str, data: bytes) -> None:
        path = folder / name
        path.write_bytes(data)
        files[path.stem] = path

    for kind, codec, options in (
        ("mp3", "libmp3lame", {"rate": 44100}),
        ("ogg", "vorbis", {"layout": "stereo", "strict": "-2"}),
        ("opus", "libopus", {"rate": 48000}),
        ("aac", "aac", {"container": "adts", "rate": 44100}),
        ("flac", "flac", {}),
    ):
        first = encode(folder / f"1.{kind}", one, codec, **options).read_bytes()
        second = encode(folder / f"2.{kind}", two, codec, **options).read_bytes()
        middle = len(first) // 2
        noise = np.random.default_rng(0).bytes(200)
        write(f"joined-{kind}.{kind}", first + second)
        write(f"cut-{kind}.{kind}", first[:middle])
        write(f"damaged-{kind}.{kind}", first[:middle] + noise + first[middle + 200 :])
    stereo = encode(folder / "s.aac", two, "aac", 44100, "stereo", "adts").read_bytes()
    write("two-layouts.aac", (folder / "1.aac").read_bytes() + stereo)
    slow = np.concatenate([np.zeros(RATE, np.float32), one])  # at first of few bits
    options = {"rate": 44100, "muxer": {"write_xing": "0"}, "q": "4"}
    write("no-length.mp3", encode(folder / "v.mp3", slow, "libmp3lame", **options).read_bytes())
    write("endless.flac", encode(folder / "e.flac", one, "flac", pipe=True).read_bytes())
    name = b"TPE1\0\0\0\x05\0\0\0\xe9t\xe9\xff"  # not UTF-8
    tag = b"ID3\x03\0\0\0\0\0" + bytes([len(name)]) + name
    write("tags.mp3", tag + (folder / "1.mp3").read_bytes())
    write("text.mp3", b"Dear diary,\n" * 50)
    write("nothing.wav", b"")
    write("list.wav", b"#EXTM3U\n#EXTINF:1,\nhttps://localhost/a.wav\n#EXT-X-ENDLIST\n")
    (folder / "folder.wav").mkdir()
    return files | {"folder": folder / "folder.wav"}


def test_a_table_of_odd_files(odd: dict[str, Path], tmp_path: Path) -> None:
    """Stages 1 and 2: every file is heard whole, or dropped with the reason; none ends a stage."""
    rows = [f"{path}\tfr\tmot {stem}\tword {stem}\ttrain" for stem, path in odd.items()]
    for number, name in enumerate(("dev", "test")):
        soundfile.write(tmp_path / f"{name}.wav", speech(), RATE)
        rows.append(f"{name}.wav\tfr\tmot\tword {number}\t{name}")
    table, header = tmp_path / "my.tsv", "audio\tlang\ttranscript\ttranslation\tsplit"
    table.write_text("\n".join([header, *rows, ""]))
    options = ("--langs", "fr", "--max_dropped", 0.9, "--nj", 2)
    run_tool("prepare_tsv", "--tsv", table, "--out", tmp_path / "data", *options)
    run_tool("prepare_speech", "--data", tmp_path / "data", "--out", tmp_path / "raw", *options)
    tables = kaldi.read_dir(tmp_path / "raw/train_fr")
    rows = [row.split("\t") for row in (tmp_path / "data/dropped.tsv").read_text().splitlines()]
    reasons = {row[0][3:-9]: row[2] for row in rows[1:]}
    samples = {key[3:-9]: int(value) for key, value in tables["utt2num_samples"].items()}
    assert samples.keys() | reasons.keys() == odd.keys()
    assert not samples.keys() & reasons.keys()
    for stem, seconds in {
        **dict.fromkeys(("joined-mp3", "joined-ogg", "joined-opus", "joined-flac"), 2),
        **dict.fromkeys(("joined-aac", "two-layouts"), 2.09),  # 23 ms before, 22 after each
        "no-length": 2,
        "endless": 1,
        "tags": 1,
    }.items():
        assert samples.pop(stem) == pytest.approx(seconds * RATE, abs=0.07 * RATE), stem
    assert not samples
    unreadable = dict.fromkeys(("cut-aac", "cut-flac", "cut-ogg", "cut-opus"), "can't be read")
    unreadable |= dict.fromkeys(("damaged-aac", "damaged-mp3"), "can't be read")
    unreadable |= dict.fromkeys(("text", "nothing", "list"), "can't be read")
    for stem, reason in (
        unreadable
        | {
            "cut-mp3": "truncated audio: 0.50 s of 1.00 s",
            "damaged-flac": "truncated audio: 0.93 s of 1.00 s",
            "damaged-ogg": "zero-length audio",
            "damaged-opus": "silent audio",
            "folder": "no audio file",
        }
    ).items():
        assert reason in reasons.pop(stem)
    assert not reasons


def test_what_is_joined_is_heard_twice(odd: dict[str, Path]) -> None:
    one, two = speech(), speech(seed=1)
    for stem in ("joined-mp3", "joined-ogg", "joined-opus", "joined-flac", "two-layouts"):
        heard = read_audio(odd[stem])
        middle = len(heard) // 2
        check_heard(heard[:middle], one)
        check_heard(heard[middle:], two)


def test_a_damaged_packet_costs_itself_alone(odd: dict[str, Path]) -> None:
    """What translates goes on after it, or, where a file was cut off, hears what there is."""
    tenths = speech().reshape(10, -1)
    for stem, most in (("damaged-mp3", 2), ("damaged-flac", 1), ("damaged-aac", 1), ("cut-aac", 6)):
        whole = heard(odd[stem])
        likeness = [correlate(whole, part).max() / np.square(part).sum() for part in tenths]
        assert sum(value < 0.8 for value in likeness) <= most


def test_channels_in_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    """But stereo of two sources is their mean, and one side alone is half of it."""
    one, two, three = (speech(seed=seed) for seed in range(3))
    for channels, expected in (
        ([one, -one], one),
        ([one + 0.1 * two, 0.1 * three - one / 2], one + 0.1 * two),
        ([one, -one, one, -one], one),
        ([one, two], (one + two) / 2),
        ([one, 0 * one], one / 2),
        ([0 * one] * 2 + [one] + [0 * one] * 3, one / 6),
    ):
        path = tmp_path / "a.wav"
        soundfile.write(path, np.stack(channels, axis=1), RATE, "FLOAT")
        assert read_audio(path) == pytest.approx(expected, abs=1e-6)


def test_arrays_of_every_kind_are_the_same_speech() -> None:
    wave = speech()
    for scale, kind in ((127, "int8"), (32767, "int16"), (2**31 - 1, "int32"), (1, "float64")):
        samples = (np.float64(wave) * scale).astype(kind)
        assert heard((samples, RATE)) == pytest.approx(wave, abs=1 / 64)
    assert heard(((128 + 127 * wave).astype("uint8"), RATE)) == pytest.approx(wave, abs=1 / 64)
    for audio in (
        (wave, np.float64(16000.0)),
        (wave.tolist(), "16000"),
        (wave[None], RATE),
        (wave[:, None], RATE),
        (np.stack([wave, wave]), RATE),
        (np.stack([wave, -wave], axis=1), RATE),
        (torch.from_numpy(wave).requires_grad_(), torch.tensor(RATE)),
        (torch.from_numpy(wave)[None].double(), RATE),
        {"array": wave, "sampling_rate": RATE, "path": None},
    ):
        assert np.array_equal(heard(audio), wave)
    bfloat = heard((torch.from_numpy(wave).bfloat16(), RATE))
    assert bfloat == pytest.approx(wave, abs=0.01)
    check_heard(heard((soxr.resample(wave, RATE, 44100.5), 44100.5)), wave, 0.99)
    check_heard(heard(((32767 * soxr.resample(wave, RATE, 8000)).astype("int16"), 8000)), wave)


def test_an_unknown_codec_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, speech(), RATE)
    data = path.read_bytes()
    path.write_bytes(data[:20] + b"\x34\x12" + data[22:])  # the WAV's format tag
    with pytest.raises(DataError, match="its codec is not known"):
        heard(path)


@pytest.mark.parametrize(
    ("audio", "complaint"),
    [
        ((np.full(RATE, np.nan), RATE), "samples up to nan"),
        ((np.full(RATE, np.inf), RATE), "samples up to inf"),
        ((np.full(RATE, 20000.0), RATE), "samples up to 20000, of at most 1"),
        ((np.zeros(RATE, "int64"), RATE), "samples of type int64"),
        ((np.zeros(RATE, bool), RATE), "samples of type bool"),
        ((np.zeros(RATE, complex), RATE), "samples of type complex128"),
        ((np.zeros((1, 1, RATE)), RATE), r"shape \(1, 1, 16000\)"),
        ((np.zeros((100, 200)), RATE), r"shape \(100, 200\)"),
        ((RATE, np.zeros(RATE)), "sampling rate"),
        ((np.zeros(RATE), 16), "sampling rate of 16: hertz"),
        ((np.zeros(RATE), float("nan")), "sampling rate of nan"),
        ((np.zeros(RATE), None), "sampling rate of None"),
        (([[0.0], [0.0, 0.1]], RATE), "no array of samples"),
        (np.zeros(RATE), "ndarray as audio: a path"),
        ({"path": "a.wav"}, "dict as audio: a path"),
        (None, "NoneType as audio: a path"),
        ((1, 2, 3), "tuple as audio: a path"),
    ],
)  # fmt: skip
def test_what_is_no_audio_is_refused(audio, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        heard(audio)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("table", "disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_another_unicode_form_are_found(tmp_path: Path, table: str, disk: str) -> None:
    path = tmp_path / normalize(disk, "élève/où.wav")
    path.parent.mkdir()
    soundfile.write(path, speech(), RATE)
    rows = ["audio\tlang\ttranscript\ttranslation\tsplit\tstart"]
    for n, split in enumerate(("train", "dev", "test")):
        rows.append(f"{normalize(table, 'élève/où.wav')}\tfr\tmot {n}\tword {n}\t{split}\t0.{n}")
    (tmp_path / "my.tsv").write_text("\n".join([*rows, ""]))
    options = ("--out", tmp_path / "data", "--langs", "fr", "--nj", 1)
    run_tool("prepare_tsv", "--tsv", tmp_path / "my.tsv", *options)
    assert kaldi.validate_dir(tmp_path / "data/test_fr") == 1
    assert len(heard(str(tmp_path / normalize(table, "élève/où.wav")))) == RATE


def test_a_long_recording_is_never_whole_in_memory(tmp_path: Path) -> None:
    """Cut for the model, or measured and cut by stage 1; whole it would take 77 MB."""
    long, seconds = tmp_path / "long.wav", 1200
    soundfile.write(long, speech(), RATE)
    with long.open("r+b") as file:  # the rest is zeros, which take no room on the disk
        file.truncate(44 + 2 * seconds * RATE)
        for place, size in ((4, 36), (40, 0)):
            file.seek(place)
            file.write((2 * seconds * RATE + size).to_bytes(4, "little"))
    parts = [("fr", 0.0, None), ("fr-1", 0.5, 1100.0), ("fr-2", 0.2, 0.7)]
    utterances = [
        Utterance("train", "fr", "fr", key, long, Path(f"{key}.flac"), "mot", "", *times)
        for key, *times in parts
    ]
    tracemalloc.start()
    assert not list(cut(read_speech(long), 30))
    assert prepare_recording(tmp_path, utterances) == [seconds, 1099.5, 0.5]
    assert tracemalloc.get_traced_memory()[1] < 25e6
    tracemalloc.stop()
    assert soundfile.info(tmp_path / "fr-1.flac").frames == 1099.5 * RATE
    assert read_audio(tmp_path / "fr-2.flac") == pytest.approx(speech()[3200:11200], abs=1e-4)
