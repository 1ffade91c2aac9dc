"""Package metadata. The versions are those of requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

TOP = Path(__file__).parent
OPTIONAL = ("deepspeed", "mweralign")
FOLDERS_OF_DATA = ("comsl.pretrained", "comsl.evaluation.templates")  # without an __init__.py


def requirements() -> list[list[str]]:
    """What the package needs, and what its server, its documentation and its tests need on top."""
    text = (TOP / "requirements.txt").read_text("utf-8")
    heading = "^# (?:Server|Documentation|Development).*"
    return [pins(part) for part in re.split(heading, text, flags=re.MULTILINE)]


def pins(text: str) -> list[str]:
    """The requirements in `text`, without comments and blank lines."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


install_requires, serve_requires, docs_requires, development_requires = requirements()

setup(
    name="comsl",
    version="0.2.0",
    description="Speech translation by ComSL, a composite speech-language model, on ESPnet",
    long_description=(TOP / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="The ComSL for ESPnet maintainers",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="speech translation, speech recognition, ESPnet, Whisper, mBART, ComSL",
    project_urls={"Paper": "https://arxiv.org/abs/2305.14838"},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.12,<3.14",
    packages=[*find_packages(include=["comsl", "comsl.*"]), *FOLDERS_OF_DATA],
    include_package_data=True,
    entry_points={"console_scripts": ["comsl=comsl.__main__:main"]},
    install_requires=install_requires,
    extras_require={
        "serve": serve_requires,
        "docs": docs_requires,
        "development": serve_requires + docs_requires + development_requires,
        **{
            name: [pin for pin in development_requires if pin.startswith(name)] for name in OPTIONAL
        },
    },
)
