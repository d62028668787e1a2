#!/usr/bin/env bash
# Measures everything on the GPU at hand in under nine minutes; leaves a file of JSON lines and REPORT.md.
#
#   benchmarks/gpu/run.sh [--install] [--smoke] [--out FOLDER] [--seconds N] [--resume FILE]
#
#   --install   try to install what is missing with pip
#   --smoke     everything, tiny and on the CPU, to see that it runs
#   --out       folder for the results; otherwise $OUT, or benchmarks/gpu/results (.cache/gpu of --smoke)
#   --seconds   time for everything, 530 unless given
#   --resume    an earlier result file: goes on with what that run had no time for
#
# PYTHON names the interpreter, GPBO_COMMIT the commit of a copy that has no history.
set -euo pipefail
began=$(date +%s)
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PYTHONPATH="$PWD:$PWD/kernels${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python=${PYTHON:-python3}

install=() arguments=() out=()
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$here" "$1" ;; esac; }
while (($#)); do
  case $1 in
    --install) install=(--install) ;;
    --out) out=(--out "$(absolute "${2:?--out takes a folder}")"); shift ;;
    --resume) arguments+=(--resume "$(absolute "${2:?--resume takes a file}")"); shift ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
if ((!${#out[@]})) && [[ -n ${OUT:-} ]]; then out=(--out "$(absolute "$OUT")"); fi
"$python" -m benchmarks.gpu.requirements ${install[@]+"${install[@]}"}
exec "$python" -m benchmarks.gpu.run --began "$began" ${out[@]+"${out[@]}"} ${arguments[@]+"${arguments[@]}"}
