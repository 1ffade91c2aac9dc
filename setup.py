"""Package metadata. The versions are those of requirements.txt."""

from pathlib import Path

from setuptools import find_packages, setup

TOP = Path(__file__).parent
OPTIONAL = ("deepspeed", "mweralign")


def requirements() -> tuple[list[str], list[str]]:
    """What the package needs, and what its development needs on top."""
    run, development = (TOP / "requirements.txt").read_text("utf-8").split("# Development")
    return pins(run), pins(development.partition("\n")[2])


def pins(text: str) -> list[str]:
    """The requirements in `text`, without comments and blank lines."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


install_requires, development_requires = requirements()

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
        "development": development_requires,
        **{
            name: [pin for pin in development_requires if pin.startswith(name)] for name in OPTIONAL
        },
    },
)
