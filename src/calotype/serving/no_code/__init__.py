"""Services without a script: ONNX files of any kind, and scikit-learn models."""
