"""The composed caption names only what is there, is short and always the same."""

import numpy as np
import pytest
from PIL import Image

from mmsr_core.modalities import measured
from mmsr_core.modalities.palette import NAMES, render
from mmsr_core.modalities.text import NOUNS, PLURALS, ComposedCaption, compose

RNG = np.random.default_rng(0)
QUALITY = ("blurry", "noisy", "jpeg", "artifact", "low quality", "sharp", "clean", "detailed")


def grey(height: int = 96, width: int = 96, level: int = 120) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def scene(top: str, bottom: str) -> np.ndarray:
    index = np.full((96, 96), NAMES.index(top), np.uint8)
    index[48:] = NAMES.index(bottom)
    return index


def random_scene() -> tuple[np.ndarray, np.ndarray]:
    """A few random rectangles of random classes in a random picture."""
    index = np.full((60, 80), RNG.integers(12), np.uint8)
    for _ in range(RNG.integers(1, 6)):
        x, y = RNG.integers(0, 70), RNG.integers(0, 50)
        index[y : y + RNG.integers(5, 50), x : x + RNG.integers(5, 60)] = RNG.integers(12)
    return RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8), index


def named(sentence: str, name: str) -> bool:
    """Whether a class is named ("sky" has many words, all ending in it; "background" is not the ground)."""
    words = sentence.replace("background", "").replace("foreground", "")
    return any(noun.removeprefix("the ") in words for noun in (NOUNS[name], PLURALS.get(name, NOUNS[name])))


@pytest.mark.parametrize("turn", range(30))
def test_names_only_classes_that_are_there_and_stays_short(turn):
    photo, index = random_scene()
    sentence = compose(photo, index)
    for number, name in enumerate(NAMES):
        if name != "other" and number not in index:
            assert not named(sentence, name), sentence
    assert len(sentence.split()) < 60
    assert sentence.startswith("A photo") and sentence.endswith(".")
    assert sentence == compose(photo, index)
    assert not any(word in sentence for word in QUALITY)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("other", "sky")])
def test_names_the_only_class(name):
    assert named(compose(grey(), np.full((96, 96), NAMES.index(name))), name)


def test_nothing_known_nothing_named():
    assert compose(grey(), np.zeros((96, 96), np.uint8)) == "A photo in black and white."


def test_the_sky_is_above_and_the_water_in_front():
    photo = grey()
    photo[:48] = (90, 150, 220)
    index = scene("sky", "water")
    index[30:60, 20:80] = NAMES.index("building")
    sentence = compose(photo, index)
    assert sentence.startswith("A photo of a building under a blue sky, water in the foreground")


def test_two_separate_people_are_people():
    index = scene("plant", "plant")
    index[20:80, 5:30] = index[20:80, 60:90] = NAMES.index("person")
    assert "people" in compose(grey(), index)


def test_small_classes_are_left_out():
    index = scene("plant", "plant")
    index[:5, :5] = NAMES.index("vehicle")
    assert "vehicle" not in compose(grey(), index)


@pytest.mark.parametrize(
    ("level", "words"), [(20, "in dark tones"), (120, ""), (230, "in bright light")], ids=["dark", "middle", "bright"]
)
def test_light(level, words):
    assert measured.light(grey(level=level)) == words


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((200, 30, 30), "red"), ((40, 60, 210), "blue"), ((110, 70, 30), "brown"), ((40, 180, 60), "green")],
)
def test_main_color(rgb, name):
    photo = grey()
    photo[:] = rgb
    assert measured.colors(photo) == [name]


@pytest.mark.parametrize(
    ("rgb", "words"),
    [
        ((90, 150, 220), "a blue sky"),
        ((230, 160, 90), "a warm orange sky"),
        ((140, 142, 146), "a grey cloudy sky"),
        ((225, 228, 232), "a bright pale sky"),
        ((8, 10, 12), "a dark sky"),
    ],
)
def test_sky(rgb, words):
    photo = grey()
    photo[:] = rgb
    assert measured.sky(photo, np.ones((96, 96), bool)) == words


def test_a_blurred_background_needs_a_sharp_part():
    texture = RNG.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(texture).resize((16, 16)).resize((128, 128), Image.Resampling.BICUBIC))
    mixed = soft.copy()
    mixed[40:90, 40:90] = texture[40:90, 40:90]
    nothing = np.zeros((128, 128), bool)
    assert measured.blurred_background(mixed, nothing)
    assert not measured.blurred_background(soft, nothing)
    assert not measured.blurred_background(texture, nothing)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (700, 20), (640, 480)])
def test_extractor_takes_any_size(size):
    caption = ComposedCaption(lambda image: render(np.full((image.height, image.width), 7)))
    assert "plants" in caption(Image.new("RGB", size, (60, 120, 60)))
