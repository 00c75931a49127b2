"""A small convolutional network, the alternative to the compact machine: trained by TensorFlow, exported to ONNX."""
