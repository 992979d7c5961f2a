import os

# The only version number: the OpenAPI schema, /livez, --version, the images and pyproject.toml take it from here.
__version__ = "0.1.0"

# onnxruntime reads this on import. Without it, onnxruntime reports its use to Microsoft and stores an ID in
# ~/.cache. It is set here because every part of the project that imports onnxruntime imports this package first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
