#!/usr/bin/env bash
# transformers.sh FOLDER: `transformers serve`.
set -euo pipefail

folder=$1
pip=("$folder/bin/python" -m pip --disable-pip-version-check --quiet)

test -x "$folder/bin/python" || "${PYTHON:-python3}" -m venv "$folder"
"${pip[@]}" install "${TORCH:-torch}"
"${pip[@]}" install 'transformers[serving]==5.23.0'
