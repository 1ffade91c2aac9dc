"""Package metadata. The versions are those of requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

TOP = Path(__file__).parent
OPTIONAL = ("deepspeed", "mweralign")


def requirements() -> list[list[str]]:
    """What the package needs, what its server needs on top, and its development."""
    text = (TOP / "requirements.txt").read_text("utf-8")
    return [
        pins(part) for part in re.split("^# (?:Server|Development).*", text, flags=re.MULTILINE)
    ]


def pins(text: str) -> list[str]:
    """The requirements in `text`, without comments and blank lines."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


install_requires, serve_requires, development_requires = requirements()

setup(
    name="comsl",
    version="0.1.0",
    description="ComSL, a composite speech-language model for speech translation, for ESPnet",
    long_description="See README.md.",
    license="Apache-2.0",
    python_requires=">=3.12,<3.14",
    packages=find_packages(include=["comsl", "comsl.*"]),
    include_package_data=True,
    entry_points={"console_scripts": ["comsl=comsl.__main__:main"]},
    install_requires=install_requires,
    extras_require={
        "serve": serve_requires,
        "development": serve_requires + development_requires,
        **{
            name: [pin for pin in development_requires if pin.startswith(name)] for name in OPTIONAL
        },
    },
)
