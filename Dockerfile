# A Beam worker that runs Reelbeam: Beam's own entrypoint, ffmpeg, pinned dependencies, the installed package.
#
#   docker build -t reelbeam-worker .                          runs on CPUs
#   docker build -t reelbeam-worker:cuda --build-arg BASE=cuda .
#
# BASE           cpu or cuda. CTranslate2 (faster-whisper) needs the CUDA 12 libraries of the cuda base; torch brings its own.
# MORE_PACKAGES  more to install, for example "apache-beam[gcp]" for Dataflow.
# RUN_AS         the user that workers run as. Dataflow mounts folders that only root may write: RUN_AS=root.
# PIP_EXTRA_INDEX_URL  an index with CPU-only builds of torch makes the cpu image several GB smaller.
ARG BASE=cpu

FROM python:3.11-slim-bookworm AS base-cpu

# Ubuntu 24.04 has no Python 3.11 of its own. The other base's is built against an older glibc, so it runs here too.
FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04 AS base-cuda
COPY --from=base-cpu /usr/local/bin /usr/local/bin
COPY --from=base-cpu /usr/local/lib /usr/local/lib
RUN ldconfig

# The dependencies change rarely and are most of the image: a layer of their own.
FROM base-cpu AS dependencies
ARG MORE_PACKAGES=""
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY deploy/install_worker.sh deploy/
COPY constraints.txt pyproject.toml setup.py ./
RUN deploy/install_worker.sh dependencies

FROM dependencies AS package
COPY README.md ./
COPY schemas schemas/
COPY models models/
COPY transforms transforms/
COPY pipeline pipeline/
RUN deploy/install_worker.sh wheel

# One of the two bases above, so it has no tag.
# hadolint ignore=DL3006
FROM base-${BASE} AS worker
COPY deploy/install_worker.sh /opt/reelbeam/
RUN /opt/reelbeam/install_worker.sh system
COPY --from=apache/beam_python3.11_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
COPY --from=dependencies /opt/reelbeam/venv /opt/reelbeam/venv
RUN --mount=type=bind,from=package,source=/opt/reelbeam/wheel,target=/opt/reelbeam/wheel \
    /opt/reelbeam/install_worker.sh package && /opt/reelbeam/install_worker.sh check

# Beam's boot would make a virtual environment of its own; ours is complete.
ENV PATH=/opt/reelbeam/venv/bin:$PATH \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONUNBUFFERED=1
ARG RUN_AS=worker
RUN useradd --create-home --uid 10001 worker
USER ${RUN_AS}
WORKDIR /tmp
ENTRYPOINT ["/opt/apache/beam/boot"]
