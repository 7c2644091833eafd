"""An ONNX file or message as nodes, tensors and values: what it says, nothing of what it means."""
