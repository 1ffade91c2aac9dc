"""TED talks: mTEDx (Salesky et al. 2021), of eight languages into English and others, and MuST-C
(Di Gangi et al. 2019), of English into fourteen. Both are published in one layout,
<source>-<target>/data/<set>/{wav,txt}."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from comsl.corpora.segments import Layout, Source, Stretch, read_given
from comsl.errors import DataError


class Talks(Layout):
    """Segments in YAML: of each its recording, offset, duration and speaker."""

    def roots(self, folder: Path, source: Source) -> Iterator[Path]:
        """<source>-<target>/data, or one folder deeper."""
        pair = f"{source.lang}-{source.target_lang}"
        yield folder / pair / "data"
        yield from folder.glob(f"*/{pair}/data")

    def wanted(self, member: str, source: Source) -> bool:
        """All: an archive holds one direction. HTML subtitles aside."""
        return "/vtt/" not in member

    def audio(self, root: Path, name: str) -> Path:
        """Whole talks."""
        return root / name / "wav"

    def texts(self, root: Path, source: Source, name: str) -> tuple[Path, Path]:
        """<set>.<language>."""
        folder = root / name / "txt"
        return folder / f"{name}.{source.lang}", folder / f"{name}.{source.target_lang}"

    def stretches(self, root: Path, source: Source, name: str) -> list[Stretch | str]:
        """Those of <set>.yaml. DataError: that is no list."""
        import yaml

        path = root / name / "txt" / f"{name}.yaml"
        try:
            items = yaml.load("\n".join(read_given(path)), yaml.CSafeLoader)
        except yaml.YAMLError as error:
            raise DataError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
        if not isinstance(items, list):
            raise DataError(f"{path}: no list of segments: unpacked in part?")
        return [_stretch(item) for item in items]


def _stretch(item: object) -> Stretch | str:
    try:
        start = float(item["offset"])
        end = start + float(item["duration"])
        return Stretch(Path(item["wav"]).stem, str(item["speaker_id"]), start, end)
    except (KeyError, TypeError, ValueError):
        return f"no wav, speaker_id, offset and duration in '{item}'"


class Mtedx(Talks):
    """Multilingual TEDx."""

    title = "mTEDx"
    site = "https://www.openslr.org/100"
    sets: ClassVar = {"train": "train", "valid": "dev", "test": "test"}
    archives = ("mtedx_{source}-{target}.tgz",)


class MustC(Talks):
    """MuST-C, any version."""

    title = "MuST-C"
    site = "https://mt.fbk.eu/must-c"
    sets: ClassVar = {
        "train": "train",
        "dev": "dev",
        "tst-COMMON": "tst-COMMON",
        "tst-HE": "tst-HE",
    }
    optional = ("tst-HE",)
    archives = ("MUSTC_v*_{source}-{target}.tar.gz",)
