"""path.sh: whatever the user's environment says, the pinned packages are imported."""

import os
import subprocess
from pathlib import Path

from conftest import ROOT


def test_another_espnet_on_pythonpath_does_not_win(tmp_path: Path):
    (tmp_path / "espnet2").mkdir()
    (tmp_path / "espnet2/__init__.py").touch()
    find = "import importlib.util as util; print(util.find_spec('espnet2').origin)"
    done = subprocess.run(
        ["bash", "-c", f'. ./path.sh && python -c "{find}"'],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("/espnet2/__init__.py")
    assert str(tmp_path) not in done.stdout
