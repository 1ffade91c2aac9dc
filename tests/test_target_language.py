"""A corpus of one's own with German translations, some without a transcript, through every stage up
to the report."""

import json
import os
import subprocess
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import yaml
from conftest import PAIRS, ROOT, write_whisper

from comsl.corpora.kaldi import read_table
from comsl.inference import SpeechTranslator
from comsl.tokenizer import Tokenizer
from comsl.training.teacher_states import TeacherStates

GERMAN = {
    "fr": ["Der Zug fährt um acht.", "Wir essen Brot.", "Die Tür bleibt offen.", "Es regnet."],
    "it": ["Die Katze schläft.", "Morgen gehen wir ans Meer.", "Wer war das?", "Sie ist heiß."],
}
SPLITS = ("train", "train", "dev", "test")


def write_table(folder: Path) -> Path:
    """Ten clips of noise with their texts, as egs2/tsv takes them; two lack the transcript."""
    random = np.random.default_rng(0)
    rows = [["audio", "lang", "transcript", "translation", "split", "target_lang"]]
    for lang, translations in GERMAN.items():
        texts = zip(PAIRS[lang], translations, SPLITS, strict=True)
        for number, ((transcript, _), translation, split) in enumerate(texts):
            noise = 0.1 * random.standard_normal(16000)
            soundfile.write(folder / f"{lang}{number}.flac", noise, 16000)
            rows.append([f"{lang}{number}.flac", lang, transcript, translation, split, "de"])
        soundfile.write(folder / f"{lang}9.flac", noise[::-1], 16000)
        rows.append([f"{lang}9.flac", lang, "", f"Ohne Text, {lang}.", "train", "de"])
    (folder / "table.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")
    return folder / "table.tsv"


def training_options(folder: Path) -> list[str]:
    """The recipe's trainings, two updates each."""
    options = []
    names = {"lm_config": "lm", "frozen_config": "frozen", "train_config": "joint"}
    names |= {"whisper_config": "whisper"}
    for option, name in names.items():
        settings = yaml.safe_load((ROOT / f"conf/train_asterisk_{name}.yaml").read_text())
        settings |= {"max_epoch": 1, "num_iters_per_epoch": 2}
        if name == "frozen":
            settings["speech_encoder_conf"]["input_size"] = 16
        (folder / f"train_{name}.yaml").write_text(yaml.safe_dump(settings))
        options += [f"--{option}", str(folder / f"train_{name}.yaml")]
    return options


@pytest.fixture(scope="module")
def work(tmp_path_factory, tiny_lm, warm_top) -> Path:
    """A folder in which stages 1 to 9 have run into German."""
    work = tmp_path_factory.mktemp("german")
    (work / "decode.yaml").write_text("beam_size: 2\n")
    command = [
        *(warm_top / "egs2/tsv/comsl1/run.sh", "--tsv", write_table(work), "--langs", "fr it"),
        *("--target_lang", "de", "--further_sets", "untranscribed"),
        *("--language_model", tiny_lm),
        *("--speech_encoder", write_whisper(work / "whisper.pt"), *training_options(work)),
        *("--decode_config", work / "decode.yaml", "--stop_stage", "9"),
        *("--datadir", work / "data", "--dumpdir", work / "dump", "--expdir", work / "exp"),
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (work / "printed.txt").write_text(done.stdout)
    return work


def test_whispers_translation_is_left_out_with_a_line(work):
    """Whisper still transcribes for the cascade, and learns to translate into German when it is
    trained on; everything else is scored as ever."""
    assert "Whisper translates into English only" in (work / "printed.txt").read_text()
    results = json.loads((work / "exp/tsv/report/results.json").read_text())
    assert results["target_lang"] == "de"
    assert {(system["name"], system["task"]) for system in results["systems"]} == {
        *(("comsl", task) for task in ("st", "asr", "mt")),
        ("whisper-zero-shot", "asr"),
        *(("whisper-fine-tuned", task) for task in ("st", "asr")),
        ("cascade", "st"),
        ("mt-true-transcript", "mt"),
    }
    assert [test["baseline"] for test in results["significance"]] == ["whisper-fine-tuned"]
    assert not list((work / "exp/tsv/whisper-zero-shot").rglob("text.st"))


def test_all_that_was_trained_translates_into_german(work):
    """The language model of stage 3, which the cascade runs, and the composite model."""
    german = Tokenizer(work / "exp/tsv/lm").code("de")
    for folder in ("lm_train", "joint"):
        translator = SpeechTranslator.from_pretrained(work / "exp/tsv" / folder)
        (ids,) = translator._generate("mt", ["Il pleut."], ["fr"], beam_size=2)
        assert ids[1] == german


def test_the_teacher_was_asked_for_german(work, tmp_path):
    """Its cached states are those of German labels."""
    teacher = TeacherStates(work / "exp/tsv/lm", "de", 50_000, "cpu")
    teacher.extract(work / "dump/tsv/raw/dev", tmp_path)
    expected = kaldiio.load_scp(str(tmp_path / "feats.scp"))
    cached = kaldiio.load_scp(str(work / "dump/tsv/teacher_and_untranscribed/dev/feats.scp"))
    for utterance, states in expected.items():
        np.testing.assert_allclose(cached[utterance], states, atol=1e-5)


def test_clips_without_a_transcript_are_trained_on(work):
    """In the composite training alone: the language model and its teacher know nothing of them."""
    raw = work / "dump/tsv/raw"
    transcripts = read_table(raw / "train_and_untranscribed/text.src", empty_ok=True)
    assert list(transcripts.values()).count("") == 2
    assert len(transcripts) == 2 + len(read_table(raw / "train/text.src"))
    for phase in ("frozen", "joint"):
        config = (work / f"exp/tsv/{phase}/config.yaml").read_text()
        assert "train_and_untranscribed" in config
    assert "untranscribed" not in (work / "exp/tsv/lm_train/config.yaml").read_text()
