"""Makes a model folder of a file in ONNX: it is cut to one output, checked, and calibrated on labelled pictures."""
