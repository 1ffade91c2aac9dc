"""The record of what a thing was made from: what remakes a thing, and what doesn't."""

import json
import shutil
from pathlib import Path

import pytest

from comsl import made
from comsl.errors import DataError


def make(out: Path, text: str, *reads: Path, earlier: str = made.REPLACE, **settings: str) -> bool:
    """Write `text` into the folder `out`, if that is still to make; whether it was."""
    new = made.begin(out, made.describe(settings, reads), earlier)
    if new is None:
        return False
    new.mkdir(exist_ok=True)
    (new / "text").write_text(text)
    made.finish(out)
    return True


def test_only_a_changed_setting_or_content_remakes(tmp_path):
    config = tmp_path / "conf.yaml"
    config.write_text("a: 1\nb: [2]\n")
    out = tmp_path / "out"
    settings = {"scale": "1", "config": str(config), "options": "--limit 3 " * 100}
    assert make(out, "first", **settings)
    assert not make(out, "again", **settings, option_of_a_later_day="")
    config.write_text("# a comment\nb:\n- 2\na: 1\n")  # says the same
    assert not make(out, "again", **settings)
    config.write_text("a: 1\nb: [3]\n")
    assert make(out, "second", **settings)
    assert make(out, "third", **settings | {"scale": "2"})
    assert (out / "text").read_text() == "third"
    record = json.loads(made.record_of(out).read_text())
    assert record["settings"]["scale"] == "2"
    assert record["settings"]["config"]["path"] == str(config)


def test_a_name_is_no_path(tmp_path, monkeypatch):
    """A folder and a file that have the name of a set and of a language."""
    monkeypatch.chdir(tmp_path)
    assert make(tmp_path / "out", "first", test_set="test", langs="es fr")
    Path("test").mkdir()
    Path("fr").touch()
    assert not make(tmp_path / "out", "again", test_set="test", langs="es fr")


def test_a_made_thing_counts_by_its_record_whenever_it_was_made(tmp_path):
    """Deleted and made again it is the same; what lies in it counts as the thing."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert make(first, "a", scale="1")
    assert make(second, "b", first / "text")
    shutil.rmtree(first)
    assert not make(second, "b", first)
    assert make(first, "a", scale="1")
    assert not make(second, "b", first)
    assert make(first, "a", scale="2")
    assert make(second, "b", first)
    (first / "text").write_text("a user's change of what is made doesn't count")
    assert not make(second, "b", first)


def test_a_users_folder_counts_by_its_bytes(tmp_path):
    """Of a large file size and time; the record says so."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("1")
    assert make(tmp_path / "out", "x", folder)
    (folder / "weights").touch()
    assert not make(tmp_path / "out", "x", folder)
    (folder / "weights").write_text("2")
    assert make(tmp_path / "out", "x", folder)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(made.LARGE + 1)
    make(tmp_path / "out", "x", tmp_path / "large")
    (source,) = made.read_record(tmp_path / "out")["reads"]
    assert source["size"] == made.LARGE + 1
    assert "time" in source


def test_what_was_interrupted_goes_on_unless_it_began_otherwise(tmp_path):
    out = tmp_path / "out"
    for earlier in made.EARLIER:
        make(out, "old", earlier=earlier, scale="0")
        for scale, kept in (("1", False), ("1", True), ("2", False)):
            new = made.begin(out, made.describe({"scale": scale}, []), earlier)
            assert (new / "part").is_file() == (kept or (earlier == made.KEEP and scale == "2"))
            new.mkdir(exist_ok=True)
            (new / "part").touch()
        if earlier == made.REPLACE:
            assert (out / "text").read_text() == "old"  # until there is another
        made.finish(out)
        assert made.is_whole(out)
        assert not (tmp_path / "out.new").exists()
        shutil.rmtree(out)
        made.record_of(out).unlink()


def test_a_training_of_other_settings_is_set_aside(tmp_path, capsys):
    out = tmp_path / "joint"
    make(out, "hours", earlier=made.ASIDE, lr="1", epochs="2")
    make(out, "others", earlier=made.ASIDE, lr="2", epochs="2")
    (aside,) = (path for path in tmp_path.glob("joint.2*") if path.is_dir())
    assert (aside / "text").read_text() == "hours"
    assert made.read_record(aside)["settings"]["lr"] == "1"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{out}: lr changed; what was trained before is now {aside}"


def test_states_may_be_deleted_once_they_are_used(tmp_path):
    """`deletable` and `cached`: nothing is made again because of it."""
    states, model = tmp_path / "states", tmp_path / "model"
    wanted = made.describe({"silence": "0.5"}, [])
    make(states, "s", earlier=made.HERE, silence="0.5")
    assert made.begin(model, made.describe({}, [], [states]))
    shutil.rmtree(states)
    assert made.begin(states, wanted, made.HERE, deletable=True) is None
    assert made.begin(states, wanted, made.HERE) == states
    assert made.begin(model, made.describe({}, [], [states])) is not None
    with pytest.raises(DataError, match="states, which is not made yet, or in part"):
        made.begin(model, made.describe({}, [states]))


def test_a_link_to_another_disk_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "states").symlink_to(tmp_path / "disk")
    for scale in "12":
        make(tmp_path / "states", scale, earlier=made.HERE, scale=scale)
    assert (tmp_path / "states").is_symlink()
    assert (tmp_path / "disk/text").read_text() == "2"


def test_lineage_names_all_that_a_thing_came_from(tmp_path):
    make(tmp_path / "a", "", scale="1")
    make(tmp_path / "b", "", tmp_path / "a", share="2")
    make(tmp_path / "c", "", tmp_path / "b")
    found = made.lineage([tmp_path / "c"])
    assert list(found) == [str(tmp_path / name) for name in "cba"]
    assert found[str(tmp_path / "b")] == {
        "settings": {"share": "2"},
        "reads": [str(tmp_path / "a")],
    }


def test_nothing_to_read_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"needs .*/raw, which is not made yet"):
        made.describe({}, [tmp_path / "raw"])
    made.begin(tmp_path / "out", made.describe({}, []))
    with pytest.raises(DataError, match="nothing was made"):
        made.finish(tmp_path / "out")


def test_an_earlier_thing_is_not_taken_for_the_new_one(tmp_path):
    make(tmp_path / "a", "", scale="1")
    wanted = made.describe({"scale": "2"}, [])
    made.begin(tmp_path / "a", wanted)
    with pytest.raises(DataError, match="nothing was made"):
        made.finish(tmp_path / "a")
    assert not made.is_made(tmp_path / "a", wanted)
