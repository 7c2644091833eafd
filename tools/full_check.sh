#!/usr/bin/env bash
# What takes longer than the gate has time for. Run it in an environment that has the project and '.[dev,fuzz]' installed,
# on a machine that does nothing else:
#
#     tools/full_check.sh [minutes of each fuzzer, default 20] [a part of a step's name: that step alone]
#
# Every step runs, whatever those before it gave; the last lines say which failed, and the exit code is their number.
set -uo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-20} only=${2:-}
export KERAS_BACKEND=torch OMP_NUM_THREADS=2
failed=()

step() {
    local name=$1 began=$SECONDS
    shift
    if [[ $name != *"$only"* ]]; then
        printf '\n== %s: left out\n' "$name"
        return
    fi
    printf '\n== %s\n%s\n' "$name" "$*"
    "$@" || failed+=("$name (exit code $?)")
    printf -- '-- %s: %d s\n' "$name" $((SECONDS - began))
}

for isa in $(python -c 'import lstm_engine as le; print(*le.info()["isas"])'); do
    step "the whole suite on $isa" env LSTM_ENGINE_ISA="$isa" python -m pytest -q -n 2 --dist worksteal
done
step "the whole suite, every run beside the reference" env LSTM_ENGINE_CHECK=1 python -m pytest -q -n 2 --dist worksteal
# Seeds that nobody has seen: the time of day.
seed=$(date +%s)
for kind in graphs torch keras; do
    step "random $kind" python "tools/fuzz_$kind.py" --seed "$seed" --count 1000000 --minutes "$minutes"
done
step "fuzzing every reader, run and call" python tools/fuzz/run.py --seed "$seed" --minutes "$minutes"
step "the same under AddressSanitizer" python tools/fuzz/run.py --seed "$seed" --minutes "$minutes" --sanitize address \
    --work build/fuzz-sanitized
step "the C tests, plain and under sanitizers" python tools/sanitize.py --all
step "the tests with the extension under sanitizers" python tools/sanitize_extension.py
step "tests/threads with the extension under ThreadSanitizer" \
    python tools/sanitize_extension.py --sanitizer thread tests/threads
step "faults at every point" python tools/inject.py
step "signals and kills in full" env LSTM_ENGINE_TEST_FAULTS=all python -m pytest -q -n 2 tests/faults
step "half an hour of soak" python tools/soak.py --minutes 30
step "the same bits in every circumstance" python tools/reproducibility.py
step "accuracy beside PyTorch and ONNX Runtime" python tools/accuracy.py
step "trained models of others" python tools/real_models.py

printf '\n'
if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
else
    echo "every step${only:+ with '$only' in its name} passed"
fi
exit ${#failed[@]}
