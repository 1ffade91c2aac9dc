"""Where the Asterisk prompts come from: Debian's packages, else the Asterisk project's site."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from comsl.corpora import debian
from comsl.corpora.archives import download, unpack
from comsl.errors import DataError
from comsl.files import atomic_dir

SITE = "https://downloads.asterisk.org/pub/telephony/sounds/releases"
VERSION = "1.6.1"
VOICES = {"en": "allison", "es": "allison", "fr": "june", "it": "carlo", "ru": "ivrvoice"}

OTHER_VOICES = {"it": ("asterisk-prompt-it-menardi-wav", "dalzot")}  # package, speaker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """One language: the recording script, and the folder of its G.722 files (16 kHz)."""

    lang: str
    script: Path
    sounds: Path

    @property
    def speaker(self) -> str:
        """Speaker id; starts with the language, since one voice may speak several."""
        return f"{self.lang}_{VOICES[self.lang]}"


@dataclass(frozen=True)
class OtherVoice:
    """Another speaker of a language's prompts, and the folder of their WAV files (8 kHz)."""

    lang: str
    speaker: str
    sounds: Path


def fetch(langs: list[str], downloads: Path) -> dict[str, Release]:
    """Fetch the prompts of each language, once. DataError: neither source can be reached."""
    for lang in langs:
        if lang not in VOICES:
            raise DataError(f"no Asterisk prompts in '{lang}'; choose from: {' '.join(VOICES)}")
    try:
        return from_debian(langs, downloads)
    except DataError as error:
        logger.info("%s", error)
        logger.info("trying %s", SITE)
        return {lang: from_site(lang, downloads) for lang in langs}


def from_debian(langs: list[str], downloads: Path) -> dict[str, Release]:
    """Debian (and Ubuntu): `asterisk-core-sounds-<lang>` has the script, `-g722` the audio."""
    name = "asterisk-core-sounds-{}".format
    packages = [name(lang) + suffix for lang in langs for suffix in ("", "-g722")]
    folders = debian.fetch(packages, downloads)
    for package, folder in folders.items():
        logger.info("%s %s", package, debian.version(folder))
    return {
        lang: _release(lang, folders[name(lang)], folders[f"{name(lang)}-g722"]) for lang in langs
    }


def fetch_other_voices(langs: list[str], downloads: Path) -> list[OtherVoice]:
    """The further speakers of these languages, from Debian; none where it can't be reached."""
    packages = {lang: OTHER_VOICES[lang] for lang in langs if lang in OTHER_VOICES}
    try:
        folders = debian.fetch([package for package, _ in packages.values()], downloads)
    except DataError as error:
        logger.warning("no set of other speakers: %s", error)
        return []
    voices = []
    for lang, (package, speaker) in packages.items():
        logger.info("%s %s", package, debian.version(folders[package]))
        sounds = _find("vm-goodbye.wav", folders[package]).parent
        voices.append(OtherVoice(lang, f"{lang}_{speaker}", sounds))
    return voices


def from_site(lang: str, downloads: Path) -> Release:
    """The project's tarball, checked against the SHA-1 that is published beside it."""
    name = f"asterisk-core-sounds-{lang}-g722-{VERSION}"
    folder = downloads / "asterisk" / name
    if not folder.is_dir():
        with atomic_dir(folder) as temporary:
            archive = temporary / f"{name}.tar.gz"
            _download(f"{SITE}/{archive.name}", archive)
            unpack(archive, temporary)
            archive.unlink()
    return _release(lang, folder, folder)


def _download(url: str, target: Path) -> None:
    """Save `url`; DataError when it can't be reached or its SHA-1 is another one."""
    sum_file = target.with_name(f"{target.name}.sha1")
    download(f"{url}.sha1", sum_file)
    download(url, target)
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha1").hexdigest()
    published = sum_file.read_bytes().split(maxsplit=1)[:1]
    if published != [found.encode()]:
        raise DataError(f"{url}: its SHA-1 is not the published one; run again to fetch it anew")
    sum_file.unlink()


def _release(lang: str, text: Path, audio: Path) -> Release:
    """Find the script below `text` and the sounds below `audio`."""
    script = _find(f"core-sounds-{lang}.txt*", text)
    return Release(lang, script, _find("vm-goodbye.g722", audio).parent)


def _find(name: str, folder: Path) -> Path:
    """The first file of that name below a folder. DataError: there is none."""
    files = sorted(folder.rglob(name))
    if not files:
        raise DataError(f"{folder}: no {name}, not the prompts expected here; remove it, rerun")
    return files[0]
