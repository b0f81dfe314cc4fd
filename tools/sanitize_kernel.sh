#!/usr/bin/env bash
# Run the tests of the placement kernel, or its fuzzer, with AddressSanitizer and
# UndefinedBehaviorSanitizer.
#
#   tools/sanitize_kernel.sh [ARGUMENTS OF PYTEST]
#   tools/sanitize_kernel.sh --fuzz [--seconds 60] [--seed 7]
#
# Needs gcc and `make install`. The kernel is built into a copy of the sources, so that the one
# that is installed stays as it is. Leaks are looked for by a test: the interpreter has its own.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$PWD/.venv/bin/python
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r src tests tools pyproject.toml "$copy"
rm -f "$copy"/src/concordant/_native*.so
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
gcc -shared -fPIC -std=c11 -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror \
    -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -I"$headers" native/*.c -o "$copy/src/concordant/_native$suffix"

cd "$copy"
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH=$copy/src CONCORDANT_KERNEL=c
if [ "${1-}" = --fuzz ]; then
    shift
    "$python" -m tools.fuzz_kernel "$@"
    exit
fi
"$python" -m pytest -q -p no:cacheprovider -m "not slow" --timeout 600 "$@" \
    tests/unit/test_placement_*.py tests/property/test_placement_*.py
