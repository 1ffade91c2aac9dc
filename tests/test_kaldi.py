"""Kaldi-style directories: what is written reads back, and every fault is named."""

import random
import tracemalloc
from pathlib import Path

import pytest

from comsl.corpora import kaldi
from comsl.errors import DataError
from comsl.files import atomic_dir

GOOD = {
    "utt2spk": {"a-1": "a", "a-2": "a", "b-1": "b"},
    "utt2dur": {"a-1": "1.5", "a-2": "2", "b-1": "0.5"},
    "utt2lang": dict.fromkeys(["a-1", "a-2", "b-1"], "fr"),
    "text.src": {"a-1": "un", "a-2": "deux mots", "b-1": "trois"},
    "text.tgt": {"a-1": "one", "a-2": "two words", "b-1": "three"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole directory without faults."""
    audio = {utterance: str(tmp_path / f"{utterance}.flac") for utterance in GOOD["utt2spk"]}
    for path in audio.values():
        Path(path).touch()
    kaldi.write_dir(tmp_path / "set", GOOD | {"wav.scp": audio})
    return tmp_path / "set"


def test_what_is_written_reads_back(folder: Path) -> None:
    tables = kaldi.read_dir(folder)
    assert tables["text.tgt"] == GOOD["text.tgt"]
    assert kaldi.read_table(folder / "spk2utt") == {"a": "a-1 a-2", "b": "b-1"}
    assert kaldi.validate_dir(folder) == 3


def test_tables_are_sorted_as_in_c(tmp_path: Path) -> None:
    kaldi.write_table(tmp_path / "table", {"b": "1", "é": "2", "B": "3", "a-b": "4", "a": "5"})
    assert list(kaldi.read_table(tmp_path / "table")) == ["B", "a", "a-b", "b", "é"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", ": empty file"),
        (b"a one\na two\n", ":2: 'a' stands here twice"),
        (b"b one\na two\n", ":2: 'a' after 'b'"),
        (b"a one\nb\n", ":2: nothing after 'b'"),
        (b"a one\n\nb two\n", ":2: no id"),
        (b"a one\nb \xe9t\xe9\n", ":2: not UTF-8"),
    ],
)
def test_malformed_tables(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "text.src"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        kaldi.read_table(path)
    assert str(caught.value).startswith(f"{path}{complaint}")
    assert "\n" not in str(caught.value)


def test_separators_inside_text_are_kept(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a one\u2028two\x85three\n", encoding="utf-8")
    assert kaldi.read_table(tmp_path / "text") == {"a": "one\u2028two\x85three"}


def test_hypotheses_may_be_empty(tmp_path: Path) -> None:
    kaldi.write_table(tmp_path / "text.st", {"a": "", "b": "two"})
    assert kaldi.read_table(tmp_path / "text.st", empty_ok=True) == {"a": "", "b": "two"}


def test_missing_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; run the stage"):
        kaldi.read_table(tmp_path / "text.src")


@pytest.mark.parametrize("table", [{"a b": "x"}, {"a": "x\ny"}, {"": "x"}])
def test_a_value_that_would_break_its_line_is_refused(tmp_path: Path, table: dict) -> None:
    (key,) = table
    with pytest.raises(DataError, match=f"/table: a space in the id or .* value of '{key}'$"):
        kaldi.write_table(tmp_path / "table", table)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "change", "complaint"),
    [
        ("text.tgt", {"a-2": None}, "'a-2' is in wav.scp but not in text.tgt"),
        ("text.src", {"c-1": "more"}, "'c-1' is in text.src but not in"),
        ("text.src", {"a-2": "..."}, "text.src: a-2: empty text"),
        ("text.tgt", {"b-1": "NaN"}, "text.tgt: b-1: empty text 'NaN'"),
        ("utt2lang", {"b-1": "xx"}, "utt2lang: b-1: unknown language code 'xx'"),
        ("utt2dur", {"b-1": "0"}, "utt2dur: b-1: '0' is not a duration"),
        ("utt2dur", {"b-1": "long"}, "utt2dur: b-1: 'long' is not a duration"),
        ("utt2spk", {"a-1": "b"}, "utt2spk: a-1: the id must start with its speaker"),
        ("utt2spk", {"a-1": "a-1"}, "spk2utt does not match"),
        ("wav.scp", {"a-1": "gone.flac"}, "wav.scp: a-1: no audio file 'gone.flac'"),
    ],
)
def test_validation_names_the_fault(folder: Path, field: str, change: dict, complaint: str) -> None:
    table = kaldi.read_table(folder / field) | change
    kaldi.write_table(folder / field, {key: value for key, value in table.items() if value})
    with pytest.raises(DataError) as caught:
        kaldi.validate_dir(folder)
    assert complaint in str(caught.value)


def test_text_only_and_untranslated_sets(tmp_path: Path) -> None:
    kaldi.write_dir(tmp_path / "set", {field: GOOD[field] for field in ("utt2lang", "text.src")})
    assert kaldi.validate_dir(tmp_path / "set", audio=False, texts=["text.src"]) == 3
    with pytest.raises(DataError, match=r"text\.tgt: no such file"):
        kaldi.validate_dir(tmp_path / "set", audio=False)
    with pytest.raises(DataError, match=r"wav\.scp: no such file"):
        kaldi.validate_dir(tmp_path / "set", texts=["text.src"])


def test_combine() -> None:
    one = {"text.src": {"a": "x"}}
    assert kaldi.combine([one, {"text.src": {"b": "y"}}]) == {"text.src": {"a": "x", "b": "y"}}
    with pytest.raises(DataError, match="'a' is in two"):
        kaldi.combine([one, one])


def test_speakers_are_collected_whatever_their_names() -> None:
    """Some of which begin with others: as a plain dictionary does it."""
    chance = random.Random(0)
    names = {"".join(chance.choices("ab-", k=chance.randint(1, 5))) for _ in range(60)}
    utt2spk = {f"{name}-{chance.randint(0, 99)}": name for name in names for _ in range(4)}
    expected: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk):
        expected.setdefault(utt2spk[utterance], []).append(utterance)
    found = list(kaldi.spk2utt(sorted(utt2spk.items())))
    assert found == [(name, " ".join(expected[name])) for name in sorted(expected)]


def test_sets_are_put_together_in_little_memory(tmp_path: Path) -> None:
    """Rows of two directories into a third: the most that Python holds, of 1,000 and of 10,000."""
    peaks = []
    for size in (500, 5000):
        parts = [tmp_path / f"{size}{name}" for name in "ab"]
        for part in parts:
            ids = [f"{part.name[-1]}{i // 10:04}-{i:05}" for i in range(size)]
            tables = {"text.src": "un " * 20, "utt2lang": "fr"}
            tables = {field: dict.fromkeys(ids, value) for field, value in tables.items()}
            kaldi.write_dir(part, tables | {"utt2spk": {key: key[:5] for key in ids}})
        tracemalloc.start()
        rows = kaldi.merge_rows(map(kaldi.read_rows, parts))
        assert kaldi.write_rows(tmp_path / f"{size}", rows) == 2 * size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]


def test_a_failure_leaves_the_old_directory(tmp_path: Path) -> None:
    kaldi.write_dir(tmp_path / "set", {"text.src": {"a": "old"}})

    def interrupted() -> None:
        with atomic_dir(tmp_path / "set") as temporary:
            (temporary / "text.src").write_text("a half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert kaldi.read_table(tmp_path / "set" / "text.src") == {"a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_on_another_disk_is_replaced_there(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "disk/set")
    for text in ("first", "second"):
        with atomic_dir(tmp_path / "set") as temporary:
            (temporary / text).touch()
    assert (tmp_path / "set").is_symlink()
    assert [path.name for path in (tmp_path / "disk/set").iterdir()] == ["second"]
