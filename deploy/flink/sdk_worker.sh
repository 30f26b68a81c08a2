#!/bin/sh
# An SDK worker, as a task manager starts it (environment type PROCESS). REELBEAM_PYTHON is a Python that has Reelbeam installed.
exec "${REELBEAM_PYTHON:-python3}" "$(dirname "$0")/sdk_worker.py" "$@"
