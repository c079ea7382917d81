# docker build -t burstfix .
# docker run --rm --gpus all -v "$PWD:/photos" burstfix merge shots/*.dng -o night.tif
# On a machine without a GPU, leave out --gpus all; everything then runs on the CPU.

FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04

# Ubuntu 24.04 has Python 3.12. exiftool is not installed, because only the tests need it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/burstfix
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1

# Install the dependencies in a separate layer, so that torch is not downloaded again when our code changes.
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
RUN mkdir burstfix weights && echo '__version__ = "0"' > burstfix/__init__.py \
    && pip install -c constraints.txt . \
    && pip uninstall -y burstfix && rm -rf burstfix weights build *.egg-info

COPY burstfix ./burstfix
COPY weights ./weights
RUN pip install --no-deps .

# Merging needs no root permissions. The output files belong to this user, or to the user of docker run --user.
RUN useradd --create-home --uid 10001 burstfix
USER burstfix
WORKDIR /photos
ENTRYPOINT ["burstfix"]
CMD ["--help"]
