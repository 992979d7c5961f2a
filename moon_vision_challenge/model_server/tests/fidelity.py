"""What TensorFlow Serving's REST API answers: cases read from its sources, in our own models and words.

The models give back what they get: echo_<type> its input `x` as `y`, `mixed` its four inputs under the same names.
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
    answer: Any  # the JSON of a 200; or the part of the message of a 400, as text


def same(key: str, value: Any, *, source: str, model: str) -> Predict:
    """A single tensor that comes back as it was sent."""
    return Predict(source, model, {key: value}, {"predictions" if key == "instances" else "outputs": value})


ROW = {"i": [[1, 2], [3, 4]], "s": ["foo", "bar"], "f": [1.5, 2.0], "d": [0.25]}
ROW2 = {"i": [[5, 6], [7, 8]], "s": ["baz", "bat"], "f": [2.0, -3.0], "d": [2.0]}
COLUMNS = {name: [ROW[name], ROW2[name]] for name in ROW}
HELLO, WORLD = {"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}

PREDICT = [
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
    # Numbers
    Predict(
        f"{TENSOR_TEST} MultipleNamedTensor and FromJsonSingleFloatTensorNonFinite",
        "float",
        '{"instances": [[NaN, Infinity], [3, -Infinity]]}',
        '{"predictions": [[NaN, Infinity], [3.0, -Infinity]]}',
    ),
    Predict(f"{DOC} JSON conformance", "double", '{"inputs": [-Infinity, NaN]}', '{"outputs": [-Infinity, NaN]}'),
    Predict(
        f"{DOC} JSON mapping, exponents", "float", '{"instances": [1e2, -2.5E-1]}', {"predictions": [100.0, -0.25]}
    ),
    Predict(
        f"{TENSOR_TEST} FromJsonSingleFloatTensorSixDigitPrecision",
        "float",
        {"instances": [[9e6, 999999, 0.5], [0.0003, 0.00003, 555557.5]]},
        {"predictions": [[9e6, 999999.0, 0.5], [0.0003, 0.00003, 555557.5]]},
    ),
    Predict(
        f"{TENSOR} IsLosslessDecimal<float>, what rapidjson reads as a double because no integer holds it",
        "float",
        '{"instances": [NaN, 18446744073709551616]}',
        '{"predictions": [NaN, 1.8446744073709552e+19]}',
    ),
    same("instances", [2**24 - 1.0], source=f"{TENSOR} IsLosslessDecimal<float>", model="float"),
    same("instances", [2**53 - 1.0], source=f"{TENSOR} IsLosslessDecimal<double>", model="double"),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorErrors, max double", "float", {"instances": [1.7e308]}, "loss of precision"
    ),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorErrors, 2^24+1", "float", {"instances": [16777217]}, "loss of precision"
    ),
    Predict(f"{TENSOR} IsLosslessDecimal<float>, negative", "float", {"instances": [-16777217]}, "loss of precision"),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorErrors, 2^53+1", "double", {"instances": [9007199254740993]}, "precision"
    ),
    Predict(f"{TENSOR} AddValueToTensor DT_INT32, IsInt", "int32", {"instances": [1.0]}, "not of expected type: int32"),
    Predict(f"{TENSOR} AddValueToTensor DT_INT32, IsInt", "int32", {"instances": [2**31]}, ""),
    Predict(f"{TENSOR} AddValueToTensor DT_UINT64, IsUint64", "uint64", {"instances": [-1]}, ""),
    Predict(f"{TENSOR} AddValueToTensor DT_INT64, IsInt64", "int64", {"instances": [2**63]}, ""),
    Predict(f"{TENSOR} AddValueToTensor DT_BOOL", "bool", {"instances": [1]}, "not of expected type: bool"),
    Predict(f"{TENSOR} AddValueToTensor DT_FLOAT", "float", {"instances": [True]}, "not of expected type: float"),
    Predict(f"{TENSOR} AddValueToTensor DT_FLOAT", "float", {"instances": [None]}, "not of expected type: float"),
    Predict(f"{TENSOR} AddValueToTensor DT_FLOAT", "float", {"instances": ["1"]}, "not of expected type: float"),
    Predict(f"{TENSOR} AddValueToTensor DT_DOUBLE", "double", {"instances": ["NaN"]}, "not of expected type: double"),
    Predict(f"{TENSOR} AddValueToTensor DT_STRING", "string", {"instances": [1]}, "not of expected type: string"),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorErrors, text", "int32", {"instances": [[1], ["a"]]}, "not of expected type"
    ),
    # Shapes
    Predict(f"{TENSOR_TEST} SingleUnnamedTensorErrors, size", "int32", {"instances": [[1, 2], [5, 6, 7]]}, ""),
    Predict(f"{TENSOR_TEST} SingleUnnamedTensorErrors, depth", "int32", {"instances": [[1, 2], [[5, 6]]]}, ""),
    Predict(f"{TENSOR_TEST} SingleUnnamedTensorErrors, rank", "int32", {"instances": [1, [1]]}, ""),
    Predict(f"{TENSOR} FillTensorProto, ragged inside an item", "int32", {"instances": [[[1, 2], [3]]]}, ""),
    Predict(f"{TENSOR} FillTensorProto, list deeper than the first", "float", {"inputs": [[1, [2]]]}, ""),
    Predict(f"{TENSOR} FillTensorProto, ragged columns", "float", {"inputs": [[1, 2], [3]]}, ""),
    Predict(
        f"{TENSOR_TEST} MultipleNamedTensorErrors, shapes differ",
        "mixed",
        {"instances": [ROW, {**ROW2, "i": [[[5, 6], [7, 8]]]}]},
        "",
    ),
    Predict(
        f"{TENSOR_TEST} MultipleNamedTensorErrors, sizes differ",
        "mixed",
        {"instances": [ROW, {**ROW2, "i": [[5, 6]]}]},
        "",
    ),
    Predict(
        f"{TENSOR_TEST} FromJsonMultipleNamedTensorsErrors, inconsistent batch size",
        "sums",
        {"instances": [1, 2]},
        "batch size",
    ),
    Predict(
        f"{TENSOR} GetDenseTensorShape, deeper than any tensor",
        "float",
        '{"inputs": ' + "[" * 300 + "1" + "]" * 300 + "}",
        "",
    ),
    # Names and keys
    Predict(
        f"{TENSOR_TEST} MultipleNamedTensorErrors, list among objects", "mixed", {"instances": [ROW, [1], ROW2]}, ""
    ),
    Predict(
        f"{TENSOR_TEST} MultipleNamedTensorErrors, object among lists", "string", {"instances": [["a"], {"x": "b"}]}, ""
    ),
    Predict(
        f"{TENSOR} FillTensorMapFromInstancesList, plain list",
        "mixed",
        {"instances": [1, 2]},
        "instances is a plain list",
    ),
    Predict(
        f"{TENSOR} FillTensorMapFromInstancesList, a key is absent",
        "mixed",
        {"instances": [{"i": 1}]},
        "keys must be equal to",
    ),
    Predict(f"{TENSOR} AddInstanceItem, a key too many", "mixed", {"instances": [{**ROW, "other": 1}]}, ""),
    Predict(
        f"{TENSOR} FillTensorMapFromInputsMap, plain value", "mixed", {"inputs": [1]}, "inputs is a plain value/list"
    ),
    Predict(
        f"{TENSOR} FillTensorMapFromInputsMap, a name is absent", "mixed", {"inputs": {"i": 1}}, "Missing named input: "
    ),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorErrors, both keys", "int32", {"instances": [1], "inputs": [1]}, "only one of"
    ),
    Predict(
        f"{TENSOR} FillPredictRequestFromJson, neither key",
        "int32",
        {"examples": [1]},
        "Missing 'inputs' or 'instances' key",
    ),
    Predict(f"{TENSOR} FillPredictRequestFromJson, no list", "int32", {"instances": 1}, "to be an list/array"),
    Predict(f"{TENSOR} FillPredictRequestFromJson, no list", "int32", {"instances": {"x": 1}}, "to be an list/array"),
    Predict(
        f"{TENSOR} FillPredictRequestFromJson, empty list", "int32", {"instances": []}, "No values in 'instances' array"
    ),
    Predict(
        f"{TENSOR_TEST} SingleUnnamedTensorErrors, signature",
        "int32",
        {"signature_name": 5, "instances": [1]},
        "must be a string value",
    ),
    Predict(
        "model_servers/http_rest_api_handler.cc GetInfoMap",
        "int32",
        {"signature_name": "no", "instances": [1]},
        'Serving signature name: "no" not found in signature def',
    ),
    # The text itself
    Predict(f"{TENSOR} ParseJson, empty", "int32", "", "JSON Parse error: The document is empty"),
    Predict(
        "model_servers/http_rest_api_handler_test.cc PredictRequestErrors",
        "int32",
        "instances = [1, 2]",
        "JSON Parse error: ",
    ),
    Predict(
        f"{TENSOR} ParseJson, EncodedInputStream takes a byte order mark",
        "int32",
        '\ufeff{"instances": [1]}',
        {"predictions": [1]},
    ),
    Predict(f"{TENSOR} ParseJson, cut short", "int32", '{"instances": [1', "JSON Parse error: "),
    Predict(f"{TENSOR} ParseJson, text after the end", "int32", '{"instances": [1]} X', "JSON Parse error: "),
    Predict(f"{TENSOR} ParseJson, no object", "int32", "[1, 2]", "Is not object"),
    Predict(f"{TENSOR} ParseJson, no object", "int32", '"instances"', "Is not object"),
]


class Request(NamedTuple):
    source: str
    method: str
    path: str
    status: int
    error: str  # part of the message


HANDLER = "model_servers/http_rest_api_handler.cc"
HANDLER_TEST = "model_servers/http_rest_api_handler_test.cc"
UTIL = "model_servers/http_rest_api_util.cc"
SERVER = "model_servers/http_server.cc"

REQUESTS = [
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/models", 400, "Missing model name"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/models", 400, "Malformed request"),
    Request(f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/models/foo:predict", 400, "Malformed request"),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls", "GET", "/v1/models/foo/version/50:predict", 400, "Malformed request"
    ),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/models/foo/version/50:regress", 400, "Malformed request"
    ),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls", "POST", "/v1/models/foo/versions/HELLO:regress", 400, "Malformed request"
    ),
    Request(
        f"{HANDLER_TEST} UnsupportedApiCalls",
        "POST",
        f"/v1/models/foo/versions/{2**64 - 1}:predict",
        400,
        f"Failed to convert version: {2**64 - 1} to numeric.",
    ),
    Request(
        f"{HANDLER} ProcessModelStatusRequest",
        "GET",
        f"/v1/models/foo/versions/{2**63}",
        400,
        "Failed to convert version",
    ),
    Request(
        f"{HANDLER_TEST} PredictModelNameVersionErrors",
        "POST",
        "/v1/models/foo:predict",
        404,
        "Servable not found for request: Latest(foo)",
    ),
    Request(
        f"{HANDLER_TEST} PredictModelNameVersionErrors",
        "POST",
        "/v1/models/foo/versions/50:predict",
        404,
        "Servable not found for request: Specific(foo, 50)",
    ),
    Request(
        f"{HANDLER_TEST} PredictModelNameVersionErrors",
        "POST",
        "/v1/models/echo_int32/versions/99:predict",
        404,
        "Specific(echo_int32, 99)",
    ),
    Request(f"{UTIL} kPredictionApiGegex, labels", "POST", "/v1/models/echo_int32/labels/no:predict", 400, "label: no"),
    Request(f"{UTIL} kModelStatusApiRegex", "GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
    Request(
        f"{UTIL} kModelStatusApiRegex",
        "GET",
        "/v1/models/echo_int32/versions/99",
        404,
        "Could not find version 99 of model echo_int32",
    ),
    Request(f"{UTIL} kModelStatusApiRegex", "GET", "/v1/models/foo/metadata", 404, "foo"),
    Request(f"{UTIL} kModelStatusApiRegex", "GET", "/v1/models/echo_int32/other", 400, "Malformed request"),
    Request(f"{SERVER} Dispatch", "GET", "/statuspage", 404, ""),
    Request(f"{SERVER} Dispatch", "GET", "/", 404, ""),
    # Here the two differ: TensorFlow Serving classifies and regresses, with examples of tf.Example.
    Request(
        f"{DOC} Classify and Regress API", "POST", "/v1/models/echo_int32:classify", 501, "classify is not implemented"
    ),
    Request(
        f"{DOC} Classify and Regress API",
        "POST",
        "/v1/models/echo_int32/versions/1:regress",
        501,
        "regress is not implemented",
    ),
]
