# docker build -t burstfix .
# docker run --rm --gpus all -v "$PWD:/photos" burstfix merge shots/*.dng -o night.tif
# Without a GPU leave out --gpus; everything then runs on the processor.

FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04

# Ubuntu 24.04 has Python 3.12. exiftool is not needed: it only checks our tags in the tests.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/burstfix
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1

# The dependencies in a layer of their own, so that a change of our code does not download torch again.
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
RUN mkdir burstfix weights && echo '__version__ = "0"' > burstfix/__init__.py \
    && pip install -c constraints.txt . \
    && pip uninstall -y burstfix && rm -rf burstfix weights build *.egg-info

COPY burstfix ./burstfix
COPY weights ./weights
RUN pip install --no-deps .

# Nobody needs to be root to merge pictures; the output belongs to this user (or to docker run --user).
RUN useradd --create-home --uid 10001 burstfix
USER burstfix
WORKDIR /photos
ENTRYPOINT ["burstfix"]
CMD ["--help"]
