"""One declaration a knob: validation, JSON round trip, strictness."""

import json
from dataclasses import FrozenInstanceError, fields

import pytest

from mmsr_core.settings import MODALITY_NAMES, Settings, declared, names


def test_json_round_trip():
    settings = Settings(weight=6, seed=5, temperature={"depth": 0.7}, color="adain", guidance="cfg")
    assert Settings.from_json(settings.to_json()) == settings


def test_what_json_leaves_out_comes_from_the_defaults():
    defaults = Settings(steps=20, temperature={"depth": 0.7}, color="adain")
    assert Settings.from_json('{"weight": 6, "color": "none"}', defaults) == defaults.with_(weight=6, color="none")
    assert Settings.from_json('{"temperature": {"edge": 2}}', defaults).temperature == {"edge": 2}
    assert Settings.from_json("{}", defaults) == defaults != Settings.from_json("{}") == Settings()


@pytest.mark.parametrize("text", ["{", "[]", '{"wieght": 2}', '{"weight": 99}'])
def test_json_is_refused_in_the_same_words_with_defaults(text):
    said = []
    for given in ((text,), (text, Settings(steps=20))):
        with pytest.raises(ValueError) as error:
            Settings.from_json(*given)
        said.append(str(error.value))
    assert said[0] == said[1] and "wanted" in said[0]


def test_defaults_are_valid_and_frozen():
    with pytest.raises(FrozenInstanceError):
        Settings().weight = 3


@pytest.mark.parametrize(
    "change,words",
    [
        ({"weight": 15}, "weight: got 15, wanted a number from 0.0 to 14.0"),
        ({"weight": float("nan")}, "weight: got nan"),
        ({"steps": 0}, "steps: got 0, wanted a whole number from 1 to 100"),
        ({"steps": 2.5}, "steps: got 2.5"),
        ({"steps": True}, "steps: got True"),
        ({"scale": 5}, "scale: got 5, wanted one of 2, 3, 4"),
        ({"guidance": "CFG"}, "guidance: got 'CFG', wanted one of m-cfg, null-cfg, cfg"),
        ({"seed": -1}, "seed: got -1"),
        ({"temperature": {"colour": 1}}, "wanted a mapping with keys among text, depth, segmentation, edge"),
        ({"temperature": {"depth": 0.1}}, "temperature depth: got 0.1, wanted a number from 0.4 to 10.0"),
        ({"negative": 3}, "negative: got 3, wanted a str"),
        ({"strip_gps": "no"}, "strip_gps: got 'no', wanted a bool"),
    ],
)
def test_bad_values_are_refused_with_got_and_wanted(change, words):
    with pytest.raises(ValueError) as error:
        Settings(**change)
    assert words in str(error.value)


def test_unknown_keys_are_refused():
    with pytest.raises(ValueError, match="got unknown wieght"):
        Settings.from_dict({"wieght": 2})
    with pytest.raises(ValueError, match="not JSON"):
        Settings.from_json("{")
    with pytest.raises(ValueError, match="a JSON list"):
        Settings.from_json("[]")
    with pytest.raises(ValueError, match="settings: got text that is not JSON"):
        Settings.from_json("[" * 200_000)


def test_equal_settings_are_one_key():
    made = [Settings(weight=weight, temperature={"depth": 0.7}) for weight in (3, 3.0, 4)]
    assert len(set(made)) == 2


def test_every_knob_has_label_and_help():
    for spec in fields(Settings):
        assert spec.metadata["label"] and spec.metadata["help"].endswith("."), spec.name
        assert declared(spec.name) is spec
    assert set(json.loads(Settings().to_json())) == set(names())


def test_temperature_is_neutral_where_unset():
    settings = Settings(temperature={"edge": 2})
    assert [settings.temperature_of(name) for name in MODALITY_NAMES] == [1, 1, 1, 2]


def test_a_choice_is_the_declared_one_whatever_its_type() -> None:
    scale = Settings.from_dict({"scale": 4.0}).scale
    assert scale == 4 and isinstance(scale, int)


def test_a_tile_is_a_multiple_of_its_step() -> None:
    with pytest.raises(ValueError, match="tile: got 132, wanted a multiple of 64"):
        Settings(tile=132)


@pytest.mark.parametrize("value", [10**401, float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    for name in ("seed", "weight"):
        with pytest.raises(ValueError, match=f"{name}: got"):
            Settings(**{name: value})
