from pathlib import Path

import pytest

from moon_vision_challenge.model_server.config import ModelConfig, VersionPolicy, model_dir, parse_models_config
from moon_vision_challenge.text_format import ConfigError


def config(fields: str) -> str:
    return f"model_config_list {{\nconfig {{ {fields} }}\n}}"


NAMED = "name: 'm' base_path: '/models/m'"


def test_names_paths_and_platforms_are_read() -> None:
    text = """
    # the models
    model_config_list: <
      config { name: 'resnet', base_path: "/models/res" 'net/'; model_platform: 'tensorflow' }  # one
      config: [{ name: "in\\"ception" base_path: '/models/inception' }, { name: 'third' base_path: '/3' }]
      config: []
    >
    """
    assert parse_models_config(text) == [
        ModelConfig("resnet", "/models/resnet/"),
        ModelConfig('in"ception', "/models/inception"),
        ModelConfig("third", "/3"),
    ]


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", [10]),
        ("model_version_policy { latest {} }", [10]),
        ("model_version_policy { latest { num_versions: 2 } }", [2, 10]),
        ("model_version_policy { latest { num_versions: 0 } }", [10]),
        ("model_version_policy: { all: {} }", [1, 2, 10]),
        ("model_version_policy { specific { versions: 1 versions: 3 } }", [1]),
        ("model_version_policy { specific { versions: [1, 2] } }", [1, 2]),
    ],
)
def test_the_version_policy_selects_versions_by_number(policy: str, served: list[int]) -> None:
    [model] = parse_models_config(config(f"{NAMED} {policy}"))
    assert model.version_policy.select([10, 1, 2]) == served


def test_without_a_policy_the_newest_version_is_served() -> None:
    assert parse_models_config(config(NAMED))[0].version_policy == VersionPolicy(latest=1)


def test_version_labels_are_read() -> None:
    [model] = parse_models_config(
        config(f"{NAMED} version_labels {{ key: 'stable' value: 1 }} version_labels {{ key: 'new' value: 2 }}")
    )
    assert model.version_labels == {"stable": 1, "new": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no model is listed"),
        ("model_config_list {\n}", "no model is listed"),
        ("model_config_list {\n", "line 2: expected a field name or }, found the end of the file"),
        ("model_config_list {\n} }", "line 2: expected a field name, found }"),
        ("model_config_list", "line 1: expected : or {"),
        ("model_config_list 'x'", "line 1: expected : or {"),
        ("models {}", "line 1: the file has no field models"),
        ("model_config_list: 'x'", "line 1: model_config_list must be a message"),
        ("model_config_list {}\nmodel_config_list {}", "line 2: model_config_list is given twice"),
        (config("name: 'm'"), "line 2: a config needs name and base_path"),
        (config("name: '' base_path: '/m'"), "line 2: a config needs name and base_path"),
        (config("name: m base_path: '/m'"), "line 2: name must be a quoted string"),
        (config("name: { } base_path: '/m'"), "line 2: name must be a quoted string"),
        (config("name: 'm' name: 'm'"), "line 2: name is given twice"),
        (config("name: 'm"), 'line 2: unexpected "\'"'),
        (config("name: '\\q'"), "line 2: unknown escape \\q"),
        (config("name: "), "line 2: expected a value, found }"),
        (config("name: ['m' 'n'"), "line 2: expected ] or ,"),
        (config(f"{NAMED} colour: 1"), "line 2: config has no field colour"),
        (config(f"{NAMED} model_version_policy {{ }}"), "line 2: model_version_policy needs exactly one of"),
        (config(f"{NAMED} model_version_policy {{ specific {{ }} }}"), "line 2: specific needs at least one"),
        (
            config(f"{NAMED} model_version_policy {{ latest {{ num_versions: -1 }} }}"),
            "line 2: num_versions must be a whole number",
        ),
        (config(f"{NAMED} version_labels {{ key: 'a' }}"), "line 2: version_labels needs key and value"),
        (f"model_config_list {{\nconfig {{ {NAMED} }}\nconfig {{ {NAMED} }} }}", "line 3: the model m is listed twice"),
    ],
)
def test_a_mistake_is_reported_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_models_config(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("base_path", "root", "expected"),
    [
        ("/models/m/", "here", "here/m"),
        ("/models/m", None, "/models/m"),
        ("/elsewhere/m", "here", "/elsewhere/m"),
        ("/modelsx/m", "here", "/modelsx/m"),
    ],
)
def test_the_model_root_stands_in_for_a_leading_models(base_path: str, root: str | None, expected: str) -> None:
    assert model_dir(ModelConfig("m", base_path), Path(root) if root else None) == Path(expected)
