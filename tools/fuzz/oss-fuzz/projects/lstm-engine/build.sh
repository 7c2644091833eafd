#!/bin/bash -eu
# Builds the package with the sanitizer's flags, and one fuzzer of each target that starts no process of its own: a frozen
# program has no interpreter to start.
pip3 install 'setuptools>=77' 'Cython>=3.1,<4' 'numpy>=2'
# libgomp is not in the image that runs the fuzzers: the core has threads of its own. In place, for the fuzzers stand
# beside the package, which would be found there without its extension.
LSTM_ENGINE_NO_OPENMP=1 pip3 install --no-build-isolation -e '.[convert]'

# What is imported by name at run time, PyInstaller finds by importing it.
export PYTHONPATH=$PWD/tools:$PWD/tests/support
targets=$(python3 tools/fuzz/run.py --list)
for target in $(awk '!/-whole/ {print $1}' <<< "$targets"); do
    name=fuzz_${target//-/_}
    printf 'from fuzz.alone import main\n\nmain("%s")\n' "$target" > "$name.py"
    compile_python_fuzzer "$name.py" --paths tools --paths tests/support \
        --collect-submodules lstm_engine --collect-submodules fuzz --collect-all onnx --hidden-import h5py \
        --add-data "tools/fuzz/corpus:fuzz/corpus"
    zip -q -j "$OUT/${name}_seed_corpus.zip" tools/fuzz/corpus/"$target"/*
    python3 tools/fuzz/run.py --dictionary "$target" > "$OUT/$name.dict"
    [ -s "$OUT/$name.dict" ] || rm "$OUT/$name.dict"
done
