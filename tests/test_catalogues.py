"""Parallel text from catalogues and manuals: what is taken, cleaned, dropped, and kept apart."""

import struct

import pytest

from comsl.corpora import debian_l10n
from comsl.corpora.catalogues import catalogue_pairs, help_pairs, manual_pairs
from comsl.corpora.kaldi import read_table, validate_dir
from comsl.corpora.parallel_text import Pair, pairs_of, unique
from comsl.errors import DataError


def write_mo(path, messages):
    """A compiled catalogue, as GNU gettext's manual lays it out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [[text.encode() for text in side] for side in (messages, messages.values())]
    start = 28 + 16 * len(messages)
    tables, body = b"", b""
    for side in texts:
        for text in side:
            tables += struct.pack("<2I", len(text), start + len(body))
            body += text + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, 0)
    path.write_bytes(header + tables + body)


def write_package(store, name, **catalogues):
    """An unpacked package with one catalogue a language."""
    for lang, messages in catalogues.items():
        write_mo(store / name / f"usr/share/locale/{lang}/LC_MESSAGES/{name}.mo", messages)
    control = store / name / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(f"Package: {name}\nVersion: 1.0-2\n")


def test_catalogue_contexts_plurals_and_header(tmp_path):
    path = tmp_path / "a.mo"
    messages = {
        "": "Content-Type: text/plain; charset=UTF-8\n",
        "menu\x04_Open": "_Abrir",
        "%d new message\0%d new messages": "%d mensaje nuevo\0%d mensajes nuevos",
    }
    write_mo(path, messages)
    assert list(catalogue_pairs(path)) == [
        ("_Abrir", "_Open"),
        ("1 mensaje nuevo", "1 new message"),
        ("15 mensajes nuevos", "15 new messages"),
    ]


@pytest.mark.parametrize(
    "data", [b"", b"PNG", b"\xde\x12\x04\x95", b"\xde\x12\x04\x95" + b"\xff" * 40]
)
def test_damaged_catalogue_is_named(tmp_path, data):
    (tmp_path / "a.mo").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.mo: not a message catalogue"):
        list(catalogue_pairs(tmp_path / "a.mo"))


@pytest.mark.parametrize(
    ("lang", "src", "tgt", "expected"),
    [
        ("es", "_Archivo nuevo", "New _File", [("Archivo nuevo", "New File")]),
        ("es", "Abrir &como…", "Open &as…", [("Abrir como...", "Open as...")]),
        (
            "fr",
            "Cliquez sur « <b>OK</b> » :",
            "Click “<b>OK</b>”:",
            [('Cliquez sur "OK"', 'Click "OK"')],
        ),
        (
            "it",
            "Attendere prego. Il file\nè «aperto». E poi?",
            "Please wait. The file is\n“open”. And then?",
            [
                ("Attendere prego.", "Please wait."),
                ('Il file è "aperto".', 'The file is "open".'),
                ("E poi?", "And then?"),
            ],
        ),
        ("es", "Uno. Dos tres.", "One two three.", [("Uno. Dos tres.", "One two three.")]),
        ("fr", "Cafe\u0301 ouvert !", "Open  café!", [("Café ouvert!", "Open café!")]),
    ],
)
def test_cleaning(lang, src, tgt, expected):
    assert list(pairs_of(src, tgt, lang)) == [Pair(*pair) for pair in expected]


@pytest.mark.parametrize(
    ("lang", "src", "tgt"),
    [
        ("es", "Se borró %s", "Deleted %s"),
        ("es", "Hola {name}", "Hello {name}"),
        ("es", "Vea http://example.org", "See http://example.org"),
        ("es", "Pulse &kmenu; ahora", "Press &kmenu; now"),
        ("es", "Falta <archivo>", "Missing <file>"),
        ("es", "Use --help ahora", "Use --help now"),
        ("es", "Terminal", "terminal"),
        ("es", "Cero 12 puntos", "Zero 13 points"),
        ("es", "Sí", "Yes, this is what I have always wanted to say"),
        ("ru", "Open the file", "Open file now"),
        ("fr", "Открыть файл", "Open file"),
        ("ru", "Открыть файл", "Открыть the file"),
        ("es", "a " * 61, "b " * 61),
        ("es", "12.50", "10 20"),
        ("es", "", "Nothing here"),
    ],
)
def test_what_is_no_plain_language_is_dropped(lang, src, tgt):
    assert not list(pairs_of(src, tgt, lang))


def test_manual_is_aligned_only_if_its_elements_agree(tmp_path):
    english, same, other = (tmp_path / name for name in ("en.page", "same.page", "other.page"))
    page = "<page><info><credit><name>{}</name></credit></info><title>{}</title><p>{}</p></page>"
    english.write_text(page.format("A", "The <gui>Files</gui>", "Press <key>F1</key>."))
    same.write_text(page.format("B", "Los <gui>archivos</gui>", "Pulse <key>F1</key>."))
    other.write_text("<page><title>Los archivos</title></page>")
    assert list(manual_pairs(same, english)) == [
        ("Los archivos", "The Files"),
        ("Pulse \ufffc.", "Press \ufffc."),
    ]
    assert not list(manual_pairs(other, english))


def test_help_is_aligned_by_paragraph_id(tmp_path):
    texts = {
        "es": '<p id="par_id2">Dos</p><p id="par_id4">Cuatro</p><p id="par_id1">Uno<input> o '
        '<span id="MACx"><span>Mac</span></span><span id="defaultx">PC</span></p>',
        "en-US": '<p id="par_id1">One or PC</p><p class="menu">Menu</p><p id="par_id4">Four</p>'
        '<p id="par_id4">Five</p>',
    }
    for name, text in texts.items():
        page = tmp_path / name / "usr/share/libreoffice/help" / name / "text/a.html"
        page.parent.mkdir(parents=True)
        page.write_text(f"<html><head><title>x</title></head><body>{text}</body></html>")
    pairs = help_pairs(tmp_path / "es", tmp_path / "en-US", "es")
    assert list(pairs) == [("Uno o PC", "One or PC")]


def test_pairs_that_differ_in_case_and_punctuation_are_one():
    pairs = [Pair("Abrir", "Open..."), Pair("abrir", "open"), Pair("Abra", "Open")]
    assert unique(pairs) == [Pair("Abra", "Open"), Pair("Abrir", "Open...")]


def test_corpus(tmp_path, caplog):
    """Split by English sentence over all languages, excluded sentences gone, the same each time."""
    caplog.set_level("INFO")
    held_out = ("azure", "beige", "khaki", "violet")  # by their hashes
    names = ("red", "blue", "green", "brown", "black", "white", *held_out)
    english = [f"Please choose the {name} one." for name in names] + ["Main menu", "Goodbye."]
    catalogues = {
        lang: {text: f"{word} {text[:-1]}" for text in english}
        for lang, word in (
            ("es", "Por favor"),
            ("ru", "Пожалуйста пожалуйста пожалуйста пожалуйста"),
        )
    }
    catalogues["ru"] = {
        text: f"Номер {'абвгдежзиклмнопрсту'[i] * 9} там" for i, text in enumerate(english)
    }
    store = tmp_path / "downloads" / "debian"
    write_package(store, "one", **catalogues)
    (tmp_path / "packages.txt").write_text("one  # the only one\n")
    (tmp_path / "exclude.txt").write_text("Thank you. GOODBYE.\n!\n")
    read = []
    for run in ("first", "second"):
        out = tmp_path / run
        debian_l10n.prepare(
            packages=tmp_path / "packages.txt",
            langs=["es", "ru"],
            downloads=tmp_path / "downloads",
            out=out,
            exclude=tmp_path / "exclude.txt",
            dev_size=3,
        )
        for folder in ("train", "dev", "train_es", "dev_es", "train_ru", "dev_ru"):
            validate_dir(out / folder, audio=False)
        read.append({file.relative_to(out): file.read_bytes() for file in out.rglob("*.*")})
    assert read[0] == read[1]
    dev, train = (set(read_table(out / name / "text.tgt").values()) for name in ("dev", "train"))
    assert len(dev) == 3
    assert not any(name in text for text in train for name in held_out)
    assert all(any(name in text for name in held_out) for text in dev)
    assert all(len(text.split()) >= 4 for text in dev)
    assert len(read_table(out / "dev_es" / "utt2lang")) == 3
    assert not any("oodbye" in text for text in dev | train)
    assert "es: 11 pairs" in caplog.text
    assert "1 pairs left out" in caplog.text
    assert (out / "packages.tsv").read_text().splitlines()[1] == "one\t1.0-2\t11\t11"


@pytest.mark.parametrize(
    ("text", "complaint"), [("# none\n", "no package"), ("a b\na\n", "a stands")]
)
def test_package_list(tmp_path, text, complaint):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError, match=complaint):
        debian_l10n.read_packages(tmp_path / "list.txt")
