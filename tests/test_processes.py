"""Work in processes: the order of the results, and a process that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from test_prepare_speech import tone, write_set

from comsl.corpora import speech
from comsl.errors import DataError
from comsl.processes import in_processes


def square_late(number: int) -> int:
    time.sleep(0.01 * (5 - number))
    return number**2


def die(number: int) -> int:
    """As the kernel ends a process when memory runs out."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_are_in_order():
    found = in_processes(2, square_late, range(5), 5, chunk=1, what="numbers", unit="number")
    assert list(found) == list(enumerate([0, 1, 4, 9, 16]))


def test_few_items_wait():
    taken = []
    items = (taken.append(number) or number for number in range(1000))
    found = in_processes(1, abs, items, 1000, chunk=2, what="numbers", unit="number")
    assert [next(found) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    found.close()
    assert len(taken) < 20


@pytest.mark.parametrize("nj", [1, 2])
def test_a_killed_process_is_one_line(nj):
    with pytest.raises(DataError, match=rf"one of {nj} processes was killed.*--nj"):
        list(in_processes(nj, die, range(8), 8, chunk=1, what="numbers", unit="number"))


def die_on_clip(clip, limits):
    os.kill(os.getpid(), signal.SIGKILL)


def test_stage_2_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch):
    clip = tmp_path / "clip.flac"
    soundfile.write(clip, tone(1), 16000)
    for name in ("train", "dev", "test"):
        write_set(tmp_path / "data" / f"{name}_fr", {f"fr_a-{name}": clip})
    monkeypatch.setattr(speech, "convert", die_on_clip)
    limits = speech.Limits(0.1, 30.0, 0.05)
    with pytest.raises(DataError, match="processes was killed"):
        speech.prepare(tmp_path / "data", tmp_path / "dump/raw", ["fr"], limits, [], nj=2)
    assert not list((tmp_path / "dump").glob("*"))


DEADLY = """
import os, signal, torch
from comsl.cli import command


class Deadly(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


@command
def main():
    for _ in torch.utils.data.DataLoader(Deadly(), num_workers=1):
        pass


main()
"""


def test_a_killed_data_loader_ends_a_command_in_one_line():
    """In a process of its own: PyTorch's handler of the death may find it at any later moment."""
    ended = subprocess.run([sys.executable, "-c", DEADLY], capture_output=True, text=True)
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error")]
    assert line.startswith("error: a process that loads data was killed, most likely because")
