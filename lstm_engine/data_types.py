"""ONNX's numbers for the types of elements (TensorProto.DataType), which Cast and its like carry in a graph too."""

from __future__ import annotations

# Those that NumPy has, by its names.
DATA_TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
              9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}
DATA_TYPE_NUMBERS = {name: number for number, name in DATA_TYPES.items()}
FLOAT16, FLOAT32, FLOAT64 = (DATA_TYPE_NUMBERS[name] for name in ("float16", "float32", "float64"))
# The others, by ONNX's names, for messages.
OTHER_TYPES = {8: "string", 14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8e4m3fn",
               18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4",
               23: "float4e2m1", 24: "float8e8m0"}
