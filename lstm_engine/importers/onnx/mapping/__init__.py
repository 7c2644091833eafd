"""A plain ONNX model becomes a Graph: recurrent nodes batch first, moves of elements as views, operators around."""
