"""The translation of a whole talk against the references of its segments."""

import random

import pytest
from conftest import run_tool

from comsl.bin import decode_talks
from comsl.corpora.kaldi import read_table, write_dir
from comsl.evaluation.resegmentation import resegment
from comsl.inference import SpeechTranslator
from comsl.recordings import translation
from comsl.recordings.translation import Recording, Segment

REFERENCES = [
    "Good morning, everybody.",
    "Today I want to talk about the weather.",
    "(Laughter)",
    "It has been raining for a week, and nobody knows why.",
]


def test_what_is_said_right_falls_into_the_right_segments():
    """Whatever is left out or wrong within; no word is lost or moved."""
    assert resegment(" ".join(REFERENCES), REFERENCES, "en") == REFERENCES
    chance = random.Random(0)
    for _ in range(20):
        words = [word for text in REFERENCES for word in text.split() if chance.random() > 0.2]
        pieces = resegment(" ".join(words), REFERENCES, "en")
        assert len(pieces) == len(REFERENCES)
        assert " ".join(pieces).split() == words
    said = "good morning everybody. I will talk about weather today. It rains for a week."
    first, second, _, last = resegment(said, REFERENCES, "en")
    assert first.startswith("good morning")
    assert "talk about weather" in second
    assert last.endswith("for a week.")
    assert resegment("", REFERENCES, "en") == [""] * 4


def test_languages_without_spaces_are_cut_between_characters():
    references = ["今天下雨。", "猫在椅子上睡觉。"]
    assert resegment("今天下雨猫在椅上睡觉。", references, "zh-CN") == [
        "今天下雨",
        "猫在椅上睡觉。",
    ]


@pytest.fixture
def corpus(tmp_path):
    """Two talks of two segments each, of which stage 2 has dropped one."""
    ids = [f"fr_a-talk{talk}-{start:08d}" for talk in (1, 2) for start in (500, 9000)]
    sets = {
        "utt2lang": dict.fromkeys(ids, "fr"),
        "text.src": dict.fromkeys(ids, "Bonjour."),
        "text.tgt": dict(zip(ids, REFERENCES, strict=True)),
    }
    talks = {f"fr_talk{talk}": f"{tmp_path}/{talk}.flac" for talk in (1, 2)}
    write_dir(tmp_path / "data/test_fr", sets)
    places = [f"fr_talk{1 + i // 2} {(0.5, 9.0)[i % 2]} 12.0" for i in range(4)]
    tables = {"wav.scp": talks, "utt2dur": dict.fromkeys(talks, "12.0")}
    tables["segments"] = dict(zip(ids, places, strict=True))
    write_dir(tmp_path / "data/talks/test_fr", tables)
    write_dir(tmp_path / "raw/test_fr", {"utt2lang": dict.fromkeys(ids[:3], "fr")})
    return tmp_path


def test_talks_are_decoded_by_several_jobs_as_by_one(corpus, monkeypatch):
    class Translator:
        target_lang = "en"

    def translate(system, sources, lang, **search):
        assert (lang, search) == ("fr", {"beam_size": 2})
        for source in sources:
            first = 2 * (int(source[-6]) - 1)
            spoken = [text.replace(" ", "  ").lower() for text in REFERENCES[first : first + 2]]
            yield Recording(source, "en", segments=[Segment(0, 1, text) for text in spoken])

    monkeypatch.setattr(translation, "translate_recordings", translate)
    monkeypatch.setattr(SpeechTranslator, "from_pretrained", lambda *_: Translator())
    monkeypatch.setattr("comsl.inference.choose_checkpoint", lambda path: path)
    (corpus / "decode.yaml").write_text("beam_size: 2\n")
    (corpus / "model").write_text("")

    def decode(out, *jobs):
        options = ["--model", corpus / "model", "--data", corpus / "data", "--raw", corpus / "raw"]
        options += ["--langs", "fr", "--decode_config", corpus / "decode.yaml", "--out", out]
        run_tool(decode_talks.__name__.rpartition(".")[2], *options, *jobs)

    decode(corpus / "one")
    for job in (1, 2):
        decode(corpus / "two", "--job", job, "--num_jobs", 2)
    run_tool("join_parts", "--out", corpus / "two", "--num_jobs", 2)
    for file in ("text.st", "talk.st"):
        one, two = (read_table(corpus / out / "test_fr" / file) for out in ("one", "two"))
        assert one == two
    found = read_table(corpus / "one/test_fr/text.st")
    assert list(found.values()) == [text.lower() for text in REFERENCES[:3]]


def test_a_corpus_without_talks_is_one_line(corpus):
    (corpus / "decode.yaml").write_text("beam_size: 2\n")
    failed = run_tool(
        "decode_talks", "--model", corpus, "--data", corpus / "raw", "--raw", corpus / "raw",
        "--langs", "fr", "--decode_config", corpus / "decode.yaml", "--out", corpus / "out",
        check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert "raw/talks/test_fr: no whole talks; only recipes" in failed.stderr
