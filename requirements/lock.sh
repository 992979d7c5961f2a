#!/bin/sh
# Writes the locked, hashed requirements/*.txt from the *.in files. `make lock` runs it; add --upgrade to get new releases.
# Renovate repeats the command in the header of each lock, so each names all its sources, and uses only options that
# Renovate knows. pyproject.toml holds one more option.
set -eu
cd "$(dirname "$0")"
compile() { uv pip compile --quiet --universal --python-version=3.11 --generate-hashes "$@"; }
# local first: it holds everything, and the others are derived from it, so that no two environments disagree about a version.
compile local.in native.in base.in tracing.in model_server.in openvino.in model_zoo.in --output-file=local.txt "$@"
derive() {
  name=$1
  shift
  compile "$@" --output-file="$name.txt" --constraint=local.txt
}
derive native native.in base.in model_server.in model_zoo.in
derive production base.in
derive tracing tracing.in base.in
derive model_server model_server.in
derive openvino openvino.in model_server.in
derive model_zoo model_zoo.in
derive tensorflow tensorflow.in model_server.in model_zoo.in
derive exports exports.in tensorflow.in model_server.in model_zoo.in --constraint=tensorflow.txt
derive docs docs.in
derive audit audit.in
derive kubernetes kubernetes.in
for name in triton mlserver kserve triton_client; do
  compile "inference_servers/$name.in" --output-file="inference_servers/$name.txt" "$@"
done
compile uv.in --output-file=uv.txt "$@"
compile redis.in --output-file=redis.txt "$@"
compile model_packages.in --output-file=model_packages.txt "$@"
