import os

# The version of everything: the OpenAPI schema, /livez, --version, the images and pyproject.toml take it from here.
__version__ = "0.1.0"

# onnxruntime reads this when it is imported; without it, it reports its use to Microsoft and keeps an identity in
# ~/.cache. Here, because every part of the project that imports onnxruntime passes through this package first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
