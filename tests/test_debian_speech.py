"""Recorded speech in Debian's packages: every parser on files made up in its package's layout."""

import struct

import numpy as np
import pytest
import soundfile

from comsl.corpora import debian_speech, drascula, festvox, fillets, tuxpaint
from comsl.corpora.kaldi import read_dir, read_table, validate_dir
from comsl.errors import DataError

HELD_OUT = "Please choose the violet one."  # by its hash


def write_sound(path, seconds=0.5, rate=22050):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "OGG" if path.suffix == ".ogg" else "WAV"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, int(seconds * rate))
    soundfile.write(path, noise, rate, format=kind)


def write_stamp(package, name, english, **texts):
    """A stamp's description, recorded in the languages of `texts`."""
    stamp = package / tuxpaint.STAMPS / f"{name}.txt"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    lines = [english, *(f"{lang}.utf8={text}" for lang, text in texts.items())]
    stamp.write_text("\n".join(lines) + "\n")
    for lang in texts:
        write_sound(stamp.with_name(f"{stamp.stem}_desc_{lang}.ogg"))


def table(texts):
    """A table of Drascula's texts: the same strings in all six languages."""
    strings = [text.encode("cp850") + b"\0" * (-len(text) % 2 + 2) for text in texts]
    block = b"\0\0" + b"".join(struct.pack(">H", len(one) + 2) + one for one in strings)
    block = struct.pack(">H", len(block)) + block
    return struct.pack(">H", len(texts)) + block * drascula.LANGUAGES


def write_drascula(voices, texts, first):
    """All tables; the first has the texts `first`, counted from 0, and recordings of them."""
    path = texts / drascula.TEXTS
    path.parent.mkdir(parents=True)
    others = b"".join(table(["", "NO"]) for _ in drascula.SPEAKERS[1:])
    head = b"DRASCULA\6" + bytes(30) + struct.pack(">H", drascula.LANGUAGES)
    path.write_bytes(head + table(first) + others)
    folder = voices / drascula.VOICES
    folder.mkdir(parents=True)
    for number in range(1, len(first)):
        noise = np.random.default_rng(number).integers(60, 200, 8000).astype(np.uint8)
        (folder / f"{number}.ALS").write_bytes(noise.tobytes())


@pytest.fixture
def downloads(tmp_path):
    """Packages with a recording for every set, and some that can't be used."""
    store = tmp_path / "downloads/debian"
    stamps = store / "tuxpaint-stamps-default"
    write_stamp(stamps, "fruit/apple", "An apple.", es="Una manzana.", ru="Яблоко.")
    write_stamp(stamps, "fruit/violet", HELD_OUT, es="Elija la violeta.")
    write_stamp(stamps, "fruit/coin", "A $5 coin.", es="Una moneda de $5.")
    write_stamp(stamps, "fruit/bye", "Goodbye.", es="Adiós.")
    english = ["", "THAT'S MY DOOR", HELD_OUT.upper(), "IGOR? I'M HERE"]
    write_drascula(store / "drascula-spanish", store / "scummvm-data", english)
    voice = store / "festvox-ru" / festvox.VOICE
    write_sound(voice / "wav/ru_1.wav")
    (voice / "etc").mkdir()
    (voice / "etc/txt.done.data").write_text('( ru_1 "Она, прядь вол+ос - за ухо, и пошла." )\n')
    script = store / "fillets-ng-data" / fillets.GAME / "script/ship/dialogs_nl.lua"
    script.parent.mkdir(parents=True)
    script.write_text(
        'dialogId("s-m-what", "font_small", "What \\"ship\\" is that?")\n'
        'dialogStr("Wat voor \\"schip\\" is dat?") -- FIXME\n\n'
        'dialogId("s-v-mute", "font_big", "Nothing is said.")\ndialogStr("Er is niets.")\n'
    )
    sounds = store / "fillets-ng-data-nl" / fillets.GAME / "sound/ship/nl"
    write_sound(sounds / "s-m-what.ogg")
    (tmp_path / "prompts.txt").write_text("Thank you. Goodbye.\n")
    return tmp_path / "downloads"


def test_recordings_become_sets(downloads, tmp_path):
    out = tmp_path / "out"
    debian_speech.prepare(["es", "ru", "nl", "it"], downloads, out, tmp_path / "prompts.txt")
    names = {path.name for path in out.iterdir() if path.is_dir()}
    assert names == {
        *("train_es", "dev_es", "untranscribed_es", "train_ru", "untranslated_ru", "train_nl"),
        "audio",
    }
    for name in ("train_es", "dev_es", "train_ru", "train_nl"):
        assert validate_dir(out / name) == 1
    stamp = read_dir(out / "train_es")
    assert stamp["text.src"] == {"tuxpaint_es-fruit_apple": "Una manzana."}
    assert set(stamp["text.tgt"].values()) == {"An apple."}
    assert read_table(out / "dev_es/text.tgt") == {"tuxpaint_es-fruit_violet": HELD_OUT}
    assert read_table(out / "train_nl/text.tgt") == {
        "fillets_nl_m-ship_s-m-what": 'What "ship" is that?'
    }
    assert read_table(out / "untranslated_ru/text.src") == {
        "festvox_ru-ru_1": "Она прядь волос за ухо и пошла."
    }
    assert read_table(out / "untranscribed_es/text.tgt") == {
        "drascula_es_john-1": "That's my door",
        "drascula_es_john-3": "Igor? I'm here",
    }
    assert float(read_table(out / "untranscribed_es/utt2dur")["drascula_es_john-1"]) == (
        pytest.approx(8000 / drascula.RATE, abs=1e-3)
    )
    assert (out / "dropped.tsv").read_text().splitlines()[1:] == [
        "drascula_es_john-2\tes\tits translation is held out",
        "tuxpaint_es-fruit_bye\tes\ta prompt of egs2/asterisk",
        "tuxpaint_es-fruit_coin\tes\tno plain language",
    ]


def test_files_of_another_form_are_named(tmp_path):
    path = tmp_path / "drascula.dat"
    path.write_bytes(b"DRASCULA\0\6\0\1" + bytes(99))
    with pytest.raises(DataError, match=r"drascula\.dat: no texts"):
        drascula.read_texts(path)
    (tmp_path / festvox.VOICE / "etc").mkdir(parents=True)
    (tmp_path / festvox.VOICE / "etc/txt.done.data").write_text("( ru_1 no quotes )\n")
    with pytest.raises(DataError, match=r"txt\.done\.data:1: no"):
        list(festvox.lines(tmp_path))
