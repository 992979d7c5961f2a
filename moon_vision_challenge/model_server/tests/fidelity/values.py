"""Which numbers, shapes, names, and texts TensorFlow Serving accepts."""

from moon_vision_challenge.model_server.tests.fidelity.predict import DOC, ROW, ROW2, TENSOR, TENSOR_TEST, Predict, same

VALUES = [
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
