"""ONNX Runtime GenAI: models that run in a process of ours, without a server."""
