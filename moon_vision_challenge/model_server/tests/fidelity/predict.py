"""What TensorFlow Serving's REST API answers to `:predict`: cases from its sources, in our own models and words.

The models return what they get: echo_<type> its input `x` as `y`, `mixed` its four inputs under the same names.
"""

from typing import Any, NamedTuple

# Files of https://github.com/tensorflow/serving, below tensorflow_serving/.
TENSOR = "util/json_tensor.cc"
TENSOR_TEST = "util/json_tensor_test.cc"
DOC = "g3doc/api_rest.md"


class Predict(NamedTuple):
    source: str
    model: str
    body: Any  # JSON, or the text itself
    answer: Any  # the JSON of a 200, or part of the message of a 400 as text


def same(key: str, value: Any, *, source: str, model: str) -> Predict:
    """Return a case whose single tensor comes back as it was sent."""
    return Predict(source, model, {key: value}, {"predictions" if key == "instances" else "outputs": value})


ROW = {"i": [[1, 2], [3, 4]], "s": ["foo", "bar"], "f": [1.5, 2.0], "d": [0.25]}
ROW2 = {"i": [[5, 6], [7, 8]], "s": ["baz", "bat"], "f": [2.0, -3.0], "d": [2.0]}
COLUMNS = {name: [ROW[name], ROW2[name]] for name in ROW}
HELLO, WORLD = {"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}

FORMATS = [
    # Row format
    same("instances", [[1, 2], [3, 4], [5, 6]], source=f"{TENSOR_TEST} SingleUnnamedTensor", model="int32"),
    same("instances", [1, 2, 3, 4, 5], source=f"{TENSOR_TEST} FromJsonSingleScalarTensor", model="int32"),
    same("instances", [[[1, 2]], [[3, 4]]], source=f"{DOC} Specifying input tensors in row format", model="int32"),
    same("instances", ["foo", "bar", "baz"], source=f"{DOC} Specifying input tensors in row format", model="string"),
    same("instances", [True, False], source=f"{DOC} JSON mapping", model="bool"),
    same("instances", [0, 255], source=f"{DOC} JSON mapping", model="uint8"),
    same("instances", [-128, 127], source=f"{DOC} JSON mapping", model="int8"),
    same("instances", [-(2**63), 2**63 - 1], source=f"{TENSOR} AddValueToTensor DT_INT64", model="int64"),
    same("instances", [0, 2**64 - 1], source=f"{TENSOR} AddValueToTensor DT_UINT64", model="uint64"),
    same("instances", [0, 2**32 - 1], source=f"{TENSOR} AddValueToTensor DT_UINT32", model="uint32"),
    same("instances", [[]], source=f"{TENSOR} GetDenseTensorShape", model="int32"),
    Predict(
        f"{TENSOR_TEST} MixedInputForFloatTensor",
        "float",
        {"instances": [1, 2.0, 3, 5.003, 0.007, 0.0]},
        {"predictions": [1.0, 2.0, 3.0, 5.003, 0.007, 0.0]},
    ),
    Predict(
        f"{TENSOR_TEST} MixedInputForDoubleTensor",
        "double",
        {"instances": [1.0, 2, 0.662, 0]},
        {"predictions": [1.0, 2.0, 0.662, 0.0]},
    ),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorWithSignature",
        "int32",
        {"signature_name": "serving_default", "instances": [[1, 2]]},
        {"predictions": [[1, 2]]},
    ),
    Predict(
        f"{TENSOR} FillPredictRequestFromJson, empty signature name",
        "int32",
        {"signature_name": "", "instances": [1]},
        {"predictions": [1]},
    ),
    Predict(
        f"{TENSOR} FillTensorMapFromInstancesList, one named input",
        "int32",
        {"instances": [{"x": 1}, {"x": 2}]},
        {"predictions": [1, 2]},
    ),
    Predict(f"{TENSOR_TEST} MultipleNamedTensor", "mixed", {"instances": [ROW, ROW2]}, {"predictions": [ROW, ROW2]}),
    Predict(
        f"{TENSOR} ParseJson ignores other keys",
        "int32",
        {"instances": [1], "comment": {"anything": None}},
        {"predictions": [1]},
    ),
    # Column format
    same("inputs", [[[1, 2], [3, 4]]], source=f"{TENSOR_TEST} SingleUnnamedTensorColumnarFormat", model="int32"),
    same("inputs", 5, source=f"{DOC} Specifying input tensors in column format, a single value", model="int32"),
    same("inputs", "foo", source=f"{DOC} Specifying input tensors in column format, a single value", model="string"),
    same("inputs", [], source=f"{TENSOR} GetDenseTensorShape", model="float"),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorColumnarFormat, named",
        "int32",
        {"inputs": {"x": [[1, 2]]}},
        {"outputs": [[1, 2]]},
    ),
    Predict(f"{TENSOR_TEST} MultipleNamedTensorColumnarFormat", "mixed", {"inputs": COLUMNS}, {"outputs": COLUMNS}),
    Predict(
        f"{DOC} column format: inputs need not share the 0-th dimension",
        "mixed",
        {"inputs": {"i": 1, "s": ["a", "b"], "f": [[0.5]], "d": []}},
        {"outputs": {"i": 1, "s": ["a", "b"], "f": [[0.5]], "d": []}},
    ),
    Predict(
        f"{TENSOR} FillTensorMapFromInputsMap reads only the inputs of the signature",
        "int32",
        {"inputs": {"x": [1], "other": "ignored"}},
        {"outputs": [1]},
    ),
    # Base64
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorBase64Scalars",
        "string",
        {"instances": [HELLO, WORLD]},
        {"predictions": ["hello", "world"]},
    ),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorBase64Lists",
        "string",
        {"instances": [[HELLO], [WORLD]]},
        {"predictions": [["hello"], ["world"]]},
    ),
    Predict(
        f"{TENSOR_TEST} SingleNamedTensorBase64",
        "string",
        {"instances": [{"x": [[HELLO], [WORLD]]}]},
        {"predictions": [[["hello"], ["world"]]]},
    ),
    Predict(
        f"{TENSOR_TEST} MultipleNamedTensorColumnarFormat, bin_tensor",
        "string",
        {"inputs": {"x": HELLO}},
        {"outputs": "hello"},
    ),
    Predict(f"{TENSOR} FillTensorMapFromInputsMap, base64 alone", "string", {"inputs": HELLO}, {"outputs": "hello"}),
    Predict(
        f"{TENSOR} JsonDecodeBase64Object, absl::Base64Unescape needs no padding",
        "string",
        {"instances": [{"b64": "aGVsbG8"}]},
        {"predictions": ["hello"]},
    ),
    Predict(
        f"{TENSOR} JsonDecodeBase64Object, absl::Base64Unescape skips white space",
        "string",
        {"instances": [{"b64": "aGVs\nbG8=\n"}]},
        {"predictions": ["hello"]},
    ),
    Predict(
        f"{TENSOR_TEST} FromJsonSingleBytesTensor, name ends in _bytes",
        "bytes",
        {"instances": [["hello", "world"], ["tf", "serving"]]},
        {"predictions": [[HELLO, WORLD], [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]]},
    ),
    Predict(f"{DOC} Output of binary values", "bytes", {"inputs": HELLO}, {"outputs": HELLO}),
    Predict(
        f"{TENSOR} IsValBase64Object, only key", "string", {"instances": [{"b64": "YQ==", "x": "a"}]}, "keys must be"
    ),
    Predict(
        f"{TENSOR} Base64FormatError", "string", {"instances": [[{"b64": "YQ==", "n": 1}]]}, "not formatted correctly"
    ),
    Predict(
        f"{TENSOR} IsValBase64Object, a string", "string", {"instances": [[{"b64": 1}]]}, "not formatted correctly"
    ),
    Predict(f"{TENSOR} JsonDecodeBase64Object", "string", {"instances": [{"b64": "*"}]}, "Unable to base64 decode"),
    Predict(
        f"{TENSOR} FillTensorProto, base64 for another type", "int32", {"instances": [HELLO]}, "not of expected type"
    ),
    Predict(
        f"{TENSOR} FillTensorProto, base64 for another type", "float", {"inputs": HELLO}, "not of expected type: float"
    ),
]
