#!/bin/sh
# The install steps of the worker image. The Dockerfile runs them one by one; check_image_steps.sh runs the same
# ones in a clean folder, so that the two cannot drift.
set -eu

home=${REELBEAM_HOME:-/opt/reelbeam}
python=${REELBEAM_PYTHON:-python3.11}
pip="$home/venv/bin/pip --disable-pip-version-check --no-input"

case "${1:-}" in
system) # what the programs need at run time: Debian's or Ubuntu's own packages
    apt-get -o DPkg::Lock::Timeout=300 update
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends \
        ca-certificates ffmpeg libffi8 libsqlite3-0 util-linux
    rm -rf /var/lib/apt/lists/*
    ;;
dependencies) # all that the extra `extract` asks for, at the pinned versions. No source is here yet, so only a change of pins repeats this
    "$python" -m venv "$home/venv"
    touch README.md
    # shellcheck disable=SC2086
    $pip install --constraint constraints.txt ${MORE_PACKAGES:-} '.[extract]'
    ;;
wheel) # the package itself, built with the pinned setuptools
    # shellcheck disable=SC2046
    $pip install $(grep -E '^setuptools==' constraints.txt || echo setuptools)
    $pip wheel --no-deps --no-build-isolation --wheel-dir "$home/wheel" .
    ;;
package) # in place of the empty package that the dependencies came with
    $pip install --no-deps --no-index --force-reinstall "$home"/wheel/reelbeam-*.whl
    ;;
check) # nothing is missing, nothing disagrees, and the command starts
    $pip check
    for program in ffmpeg ffprobe setpriv prlimit; do command -v "$program"; done
    "$home/venv/bin/python" -c 'import reelbeam.pipeline.extraction.run, reelbeam.pipeline.indexes.update; print(reelbeam.pipeline.extraction.run.__file__)'
    "$home/venv/bin/reelbeam" --help >/dev/null
    ;;
*)
    echo "usage: install_worker.sh system | dependencies | wheel | package | check" >&2
    exit 2
    ;;
esac
