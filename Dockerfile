# With CUDA (the default), for NVIDIA GPUs:
#     docker build -t burstfix .
#     docker run --rm --gpus all -v "$PWD:/photos" burstfix merge shots/*.dng -o night.tif
# Without CUDA, for any processor; this image is several gigabytes smaller:
#     docker build -t burstfix-cpu --target cpu .
#     docker run --rm -v "$PWD:/photos" burstfix-cpu merge shots/*.dng -o night.tif

# Ubuntu 24.04 has Python 3.12. Both final images need the same Python version as the stages that build /opt/venv.
FROM ubuntu:24.04 AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/burstfix
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./

# The dependencies have their own layers, so that a change of our code does not download torch again.
FROM build AS build-cpu
RUN pip install -c constraints.txt torch --index-url https://download.pytorch.org/whl/cpu
RUN mkdir -p burstfix weights && echo '__version__ = "0"' > burstfix/_version.py && touch burstfix/__init__.py \
    && pip install -c constraints.txt . \
    && pip uninstall -y burstfix && rm -rf burstfix weights build ./*.egg-info
COPY burstfix ./burstfix
COPY weights ./weights
RUN pip install --no-deps .

FROM build AS build-cuda
RUN mkdir -p burstfix weights && echo '__version__ = "0"' > burstfix/_version.py && touch burstfix/__init__.py \
    && pip install -c constraints.txt . \
    && pip uninstall -y burstfix && rm -rf burstfix weights build ./*.egg-info
COPY burstfix ./burstfix
COPY weights ./weights
RUN pip install --no-deps .

FROM ubuntu:24.04 AS cpu
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 burstfix
COPY --from=build-cpu /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# Merging needs no root permissions. The output files belong to this user, or to the user of docker run --user.
USER 10001
WORKDIR /photos
ENTRYPOINT ["burstfix"]
CMD ["--help"]

FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04 AS cuda
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 burstfix
COPY --from=build-cuda /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /photos
ENTRYPOINT ["burstfix"]
CMD ["--help"]
