#!/bin/sh
# Installs the programs that Reelbeam runs, where they are missing and apt may install them; else says how.
# Arguments name further programs to look for, each the name of its Debian package.
set -eu

wanted=""
command -v ffmpeg >/dev/null 2>&1 && command -v ffprobe >/dev/null 2>&1 || wanted="$wanted ffmpeg"
command -v setpriv >/dev/null 2>&1 && command -v prlimit >/dev/null 2>&1 || wanted="$wanted util-linux"
command -v ps >/dev/null 2>&1 || wanted="$wanted procps"
"${PYTHON:-python3}" -c "import ensurepip, venv" >/dev/null 2>&1 || wanted="$wanted python3-venv"
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 || wanted="$wanted $program"
done
[ -n "$wanted" ] || exit 0

as_root=""
[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null && as_root=sudo; }
if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || [ -n "$as_root" ]; }; then
    echo "installing:$wanted"
    $as_root apt-get -o DPkg::Lock::Timeout=300 update -qq
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $wanted >/dev/null
else
    echo "missing:$wanted. Install with: apt-get install$wanted (as root)" >&2
    exit 1
fi
