#!/bin/sh
# Runs the Dockerfile's own install steps without Docker: copies what it copies into a clean folder, and runs each of its
# install_worker.sh steps there, in order. Only `system` is left out, because it changes the machine.
# usage: deploy/check_image_steps.sh [FOLDER]     a new folder to keep; without one, a temporary folder that is removed
set -eu

repository=$(cd "$(dirname "$0")/.." && pwd)
if [ -n "${1:-}" ]; then
    mkdir "$1"
    folder=$(cd "$1" && pwd)
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 130' INT TERM
fi
mkdir "$folder/src" "$folder/home"
export REELBEAM_HOME="$folder/home"

copy() { # SOURCE... DESTINATION, as after COPY
    for last in "$@"; do :; done
    case "$last" in
    /*) to=$REELBEAM_HOME ;;
    *) to=$folder/src/$last ;;
    esac
    mkdir -p "$to"
    while [ $# -gt 1 ]; do
        if [ -d "$repository/$1" ]; then cp -R "$repository/$1/." "$to"; else cp "$repository/$1" "$to"; fi
        shift
    done
}

while read -r line; do
    case "$line" in
    "COPY --from="*) ;;
    "COPY "*)
        # shellcheck disable=SC2086
        copy ${line#COPY }
        ;;
    *"install_worker.sh "*)
        for step in $(echo "$line" | grep -o 'install_worker\.sh [a-z]*' | cut -d ' ' -f 2); do
            [ "$step" = system ] && continue
            echo "== $step"
            (cd "$folder/src" && deploy/install_worker.sh "$step" </dev/null)
        done
        ;;
    esac
done <"$repository/Dockerfile"

found=$(cd / && "$REELBEAM_HOME/venv/bin/python" -c 'import reelbeam.pipeline.cli as cli; print(cli.__file__)')
case "$found" in
"$REELBEAM_HOME"/*) echo "the steps of the image work: $found" ;;
*)
    echo "python finds another reelbeam than the one just installed: $found" >&2
    exit 1
    ;;
esac
