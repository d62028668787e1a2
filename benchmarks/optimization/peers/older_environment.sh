#!/bin/sh
# Sets up the peers that need an older NumPy, HEBO and Nevergrad, in an environment of their own: .venv/peers of the
# repository, or the folder given. PYTHON picks the interpreter, 3.11.
set -e
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../../.venv/peers}
"${PYTHON:-python3.11}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --constraint "$here/older_constraints.txt" HEBO nevergrad
echo "Done. Where the folder is not .venv/peers of the repository: export GPBO_PEERS_ENVIRONMENT=$folder"
