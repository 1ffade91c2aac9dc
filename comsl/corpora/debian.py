"""Files of Debian packages, without root and without installing anything."""

import logging
import shutil
import subprocess
import tempfile
from pathlib import Path

from comsl.errors import DataError

logger = logging.getLogger(__name__)


def fetch(packages: list[str], downloads: Path) -> dict[str, Path]:
    """Download and unpack binary packages; what is already there is not fetched again.

    Returns {package: downloads/debian/<package>}, where `usr/...` and `DEBIAN/control` lie.
    Nothing half-made is left behind. DataError: no apt, no network, or no such package.
    """
    store = downloads / "debian"
    store.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not (store / package).is_dir()]
    if missing:
        logger.info("fetching from Debian: %s", " ".join(missing))
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=store) as work:
            _download(missing, Path(work), store)
            for package in missing:
                _unpack(package, Path(work), store / package)
    return {package: store / package for package in packages}


def version(folder: Path) -> str:
    """Version of an unpacked package, from its control file."""
    control = folder / "DEBIAN" / "control"
    for line in control.read_text(encoding="utf-8").splitlines():
        if line.startswith("Version: "):
            return line.removeprefix("Version: ")
    raise DataError(f"{control}: no Version line; remove {folder} and fetch it again")


def _download(packages: list[str], work: Path, store: Path) -> None:
    """Put the .deb files into `work`: with the system's package lists, else with fresh ones.

    Package lists are missing in most container images and stale elsewhere; updating the system's
    needs root, so the second try keeps its own under `store`.
    """
    command = ["apt-get", "-q", "download", *packages]
    if not _apt(command, work):
        return
    logger.info("fetching Debian's package lists (some 10 MB, under a minute)")
    lists = (store / ".lists").absolute()
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    own = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={work.absolute()}"]
    _apt(["apt-get", "-q", *own, "update"], work)
    if problem := _apt([*command, *own], work):
        raise DataError(
            f"apt-get can't download {' '.join(packages)}: {problem}; check the network and apt's"
            " sources (deb.debian.org or a mirror), then run again"
        )


def _apt(command: list[str], work: Path) -> str:
    """Run apt-get in `work`; its last line of complaint, or nothing if all went well."""
    if not shutil.which("apt-get"):
        return "no apt-get on this machine"
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return (complaints or [f"exit status {done.returncode}"])[-1] if done.returncode else ""


def _unpack(package: str, work: Path, target: Path) -> None:
    """Unpack `work`/<package>_*.deb (files and control data) beside `target`, then rename."""
    (archive,) = work.glob(f"{package}_*.deb")
    command = ["dpkg-deb", "--raw-extract", archive, work / package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise DataError(f"{archive.name} can't be unpacked: {reason}; run again to fetch it anew")
    try:
        (work / package).rename(target)
    except OSError:
        if not target.is_dir():
            raise
        logger.info("%s: another process has fetched it meanwhile", package)
