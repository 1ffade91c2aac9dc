"""What a command is as a process of its own: exit status, output, speed of its start."""

import subprocess
import sys

from conftest import ROOT, run_process, write_texts

HEAVY = ("torch", "transformers", "espnet2", "whisper", "matplotlib", "sacrebleu", "jiwer")
TOOLS = sorted(path.stem for path in (ROOT / "comsl/bin").glob("[a-z]*.py"))
ESPNETS = {"train", "train_whisper"}  # their options are ESPnet's, so that it is imported


def test_exit_status_and_output(tmp_path):
    """One line on stderr for bad input, progress there too, results on stdout."""
    folder = write_texts(tmp_path / "set")
    (folder / "text.src").rename(folder / "hidden")
    failed = run_process("validate_data", folder)
    assert (failed.returncode, failed.stdout) == (1, "")
    (line,) = failed.stderr.splitlines()
    assert line.startswith(f"error: {folder}/text.src: no such file")
    (folder / "hidden").rename(folder / "text.src")
    done = run_process("validate_data", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{folder}: 8 utterances\n"
    wrong = run_process("validate_data")
    assert wrong.returncode == 2
    assert "the following arguments are required: folder" in wrong.stderr


def test_a_terminated_command_leaves_no_temporary_file(tmp_path):
    """SIGTERM, as queues and run.sh send it; a process that it has started ends at once."""
    code = (
        "import os, time\n"
        "from comsl.cli import command\n"
        "from comsl.files import atomic_file\n"
        "@command\n"
        "def main():\n"
        f"    with atomic_file({str(tmp_path / 'big.tar')!r}) as temporary:\n"
        "        temporary.write_text('half')\n"
        "        child = os.fork()\n"
        "        if not child:\n"
        "            time.sleep(60)\n"
        "        os.kill(child, 15)\n"
        "        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
        "        time.sleep(60)\n"
        "main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "-15\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.terminate()
    assert process.wait() == 128 + 15
    assert not list(tmp_path.iterdir())


def test_help_starts_without_heavy_imports():
    """All in one fresh process; whoever asks for help or mistypes an option waits for nothing."""
    code = (
        "import importlib, sys\n"
        "for tool in sys.argv[1].split():\n"
        "    sys.argv = [tool, '--help']\n"
        "    try:\n"
        "        importlib.import_module(f'comsl.bin.{tool}').main()\n"
        "    except SystemExit as end:\n"
        "        assert not end.code\n"
        f"    assert not sys.modules.keys() & {set(HEAVY)}, tool\n"
    )
    light = [tool for tool in TOOLS if tool not in ESPNETS]
    command = [sys.executable, "-c", code, " ".join(light)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == len(light) > 20
