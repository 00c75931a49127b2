"""Models in ONNX, made by any framework: checked before anything runs, then read by onnxruntime."""
