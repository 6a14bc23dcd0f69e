#!/usr/bin/env bash
# llama-cpp.sh FOLDER: llama.cpp's own server, and the bundled model as it reads it.
# Needs a C++ compiler, and a quarter of an hour of one processor.
set -euo pipefail

folder=$1
python=$folder/bin/python
# This package has llama.cpp's source in it.
package=llama_cpp_python version=0.3.36
unpacked=$folder/source/$package-$version

test -x "$python" || "${PYTHON:-python3}" -m venv "$folder"
"$python" -m pip --disable-pip-version-check --quiet install cmake gguf==0.19.0 numpy safetensors
"$python" -m pip --disable-pip-version-check --quiet download --no-deps \
	--no-binary llama-cpp-python --dest "$folder/source" "$package==$version"
tar --extract --gzip --directory "$folder/source" --file "$unpacked.tar.gz"

# Little optimisation builds in a third of the time, and this model is small.
optimisation='-O1 -DNDEBUG'
"$folder/bin/cmake" -S "$unpacked/vendor/llama.cpp" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release \
	-DCMAKE_C_FLAGS_RELEASE="$optimisation" -DCMAKE_CXX_FLAGS_RELEASE="$optimisation" \
	-DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF \
	-DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
	-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF
"$folder/bin/cmake" --build "$folder/build" --target llama-server --parallel "$(getconf _NPROCESSORS_ONLN)"

ln -sf ../build/bin/llama-server "$folder/bin/llama-server"
"$python" "$(dirname "$0")/../model/export_gguf.py" "$folder/storyteller.gguf"
