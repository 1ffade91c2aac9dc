# ComSL with its environment. To translate a file, with a volume that keeps Whisper's weights:
#   docker build -t comsl .
#   docker run --rm -v comsl:/comsl/downloads -v "$PWD:/audio" comsl translate /audio/talk.mp3
# To run the embedded recipe:
#   docker run --rm -it --entrypoint ./run.sh -v comsl:/comsl/downloads -v "$PWD/exp:/comsl/exp" comsl
FROM python:3.12-slim-bookworm

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008 # Debian keeps only the newest version of a package
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git procps \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /comsl
COPY . .
# Builds .venv from requirements.txt, as on any machine.
RUN PIP_NO_CACHE_DIR=1 local/setup.sh

ENTRYPOINT ["./comsl.sh"]
CMD ["--help"]
