"""Laws of the tokens: exact round trips, batches that do not mix, boxes, and texts that are cut where we say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import CLIPTokenizerFast

from mmsr_core.modalities.palette import COLORS
from mmsr_core.tokens import Tokenizers, joined, map_row, render_map

WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def tokens(tiny_folder: Path) -> Tokenizers:
    return Tokenizers.load(tiny_folder)


@pytest.fixture(scope="module")
def depth() -> Image.Image:
    return Image.fromarray((np.mgrid[:90, :120][0] * 2).astype(np.uint8))


def test_ids_survive_the_codebook(tokens: Tokenizers) -> None:
    ids = torch.arange(32).repeat(8)[: tokens.grid**2][None]
    codes = tokens.map_codes(ids)
    assert codes.shape == (1, tokens.grid**2, tokens.map_width)
    assert torch.equal(torch.cdist(codes[0], tokens.vq.quantize.embedding.weight).argmin(1), ids[0])


def test_codes_are_the_models_own_lookup(tokens: Tokenizers, depth: Image.Image) -> None:
    ids = tokens.map_ids(tokens.render("depth", depth))
    shape = (1, tokens.grid, tokens.grid, tokens.map_width)
    theirs = tokens.vq.quantize.get_codebook_entry(ids.flatten(), shape=shape)
    assert torch.equal(tokens.map_codes(ids), theirs.flatten(2).transpose(1, 2))


def test_a_batch_of_two_is_two_singles(tokens: Tokenizers, depth: Image.Image) -> None:
    one, two = tokens.render("depth", depth), tokens.render("depth", depth, (0.2, 0.1, 0.7, 0.9))
    both = tokens.map_ids(torch.cat([one, two]))
    assert torch.equal(both, torch.cat([tokens.map_ids(one), tokens.map_ids(two)]))
    assert torch.allclose(tokens.reconstruct(both)[1:], tokens.reconstruct(both[1:]), atol=1e-5)


def test_bytes_and_floats_give_the_same_ids(tokens: Tokenizers) -> None:
    pictures = torch.randint(0, 256, (2, 3, tokens.map_side, tokens.map_side), dtype=torch.uint8)
    assert torch.equal(tokens.map_ids(pictures), tokens.map_ids(pictures.float() / 255 * 2 - 1))


def test_reconstruction_is_a_map_again(tokens: Tokenizers) -> None:
    maps = tokens.reconstruct(torch.zeros(2, tokens.grid**2, dtype=torch.long))
    assert maps.shape == (2, 3, tokens.map_side, tokens.map_side)
    assert maps.abs().max() <= 1


@pytest.mark.parametrize("name", ["depth", "segmentation", "edge"])
def test_the_box_of_the_whole_picture_is_no_box(tokens: Tokenizers, depth: Image.Image, name: str) -> None:
    assert torch.equal(tokens.render(name, depth, WHOLE), tokens.render(name, depth))


def test_a_box_shows_its_part_only(tokens: Tokenizers) -> None:
    image = Image.new("L", (40, 40), 0)
    image.paste(255, (20, 0, 40, 40))
    shown = tokens.render("depth", image, (0.5, 0.0, 1.0, 1.0))
    assert (shown[..., 3:] == 1).all()  # the filter reads a pixel or two beyond the box


def test_beyond_the_border_a_map_is_mirrored(depth: Image.Image) -> None:
    row, values = map_row("depth"), np.asarray(depth)
    mirrored = Image.fromarray(np.pad(values, ((0, 10), (0, 30)), mode="reflect"))
    shown = render_map(row, depth, (0.5, 0.0, 1.25, 100 / 90), 64)
    assert shown.tobytes() == mirrored.resize((64, 64), row.resample, box=(60, 0, 150, 100)).convert("RGB").tobytes()


def test_rounding_does_not_thicken_lines() -> None:
    lines = np.zeros((96, 96), np.uint8)
    lines[:, 40] = 255
    row, image = map_row("edge"), Image.fromarray(lines)
    exact, rounded = (render_map(row, image, (0.0, 0.0, 2 / 3 + more, 2 / 3), 64) for more in (0.0, 1e-12))
    assert exact.tobytes() == rounded.tobytes()


@pytest.mark.parametrize("box", [(0.5, 0.0, 0.5, 1.0), (-0.1, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 1.2)])
def test_a_box_outside_the_picture_is_refused(tokens: Tokenizers, depth: Image.Image, box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="box: got"):
        tokens.render("depth", depth, box)


@pytest.mark.parametrize("side", [48, 128, 200, 1024])
def test_lines_of_one_pixel_stay_visible_at_every_size(side: int) -> None:
    image = Image.new("L", (side, side), 0)
    ImageDraw.Draw(image).line((0, 0, side - 1, side - 1), fill=255)
    small = np.asarray(render_map(map_row("edge"), image, None, 64).convert("L"))
    assert np.diagonal(small).min() > 100
    assert small[0, 40:].max() < 20


def test_segmentation_keeps_its_colours() -> None:
    index = np.random.default_rng(0).integers(0, 12, (9, 7))
    small = np.asarray(render_map(map_row("segmentation"), Image.fromarray(COLORS[index]), None, 64))
    assert {tuple(c) for c in small.reshape(-1, 3)} <= {tuple(c) for c in COLORS}


def test_only_given_modalities_have_tokens(tokens: Tokenizers, depth: Image.Image) -> None:
    assert tokens.tokenise({}) == {}
    found = tokens.tokenise({"edge": depth, "text": "a dog"})
    assert list(found) == ["text", "edge"]
    assert found["text"].shape == (1, tokens.text_length, tokens.text_width)
    assert found["edge"].shape == (1, tokens.grid**2, tokens.map_width)


def test_unknown_names_are_refused(tokens: Tokenizers, depth: Image.Image) -> None:
    with pytest.raises(ValueError, match="got normals, wanted some of text, depth, segmentation, edge"):
        tokens.tokenise({"normals": depth})
    with pytest.raises(ValueError, match="got 'text', wanted one of depth, segmentation, edge"):
        tokens.render("text", depth)


@pytest.mark.parametrize("text", ["", "a dog", "Größe 漢字 🙂", "word " * 200])
def test_texts_are_77_tokens_long(tokens: Tokenizers, text: str) -> None:
    ids = tokens.text_ids(text)
    assert ids.shape == (1, 77)
    assert ids[0, 0] == tokens.tokenizer.bos_token_id
    assert ids[0, -1] == tokens.tokenizer.eos_token_id


def test_count_says_what_is_cut(tokens: Tokenizers) -> None:
    text = "abc " * 60
    count = tokens.count(text)
    assert (count.used, count.limit) == (77, 77)
    assert count.kept + count.cut == text
    assert torch.equal(tokens.text_ids(count.kept), tokens.text_ids(text))
    assert tokens.count("ab") == (4, 77, "ab", "")


@pytest.mark.parametrize(
    "caption,words,wanted", [("A cat.", "sharp", "A cat, sharp"), ("", "sharp", "sharp"), ("A cat", " ", "A cat")]
)
def test_a_short_caption_and_its_words_are_read_whole(tokens: Tokenizers, caption: str, words: str, wanted: str):
    assert tokens.prompt(caption, words) == wanted
    assert tokens.count(caption, words)[2:] == (caption, "")


@pytest.mark.parametrize("caption", ["a house, trees; " * 50, "漢字" * 200, "!!! " * 200, "x" * 400, "word. " * 75])
@pytest.mark.parametrize("words", ["sharp", "sharp, clean, highly detailed", "é " * 20])
def test_a_caption_is_cut_so_that_the_words_fit(tokens: Tokenizers, caption: str, words: str) -> None:
    text, count = tokens.prompt(caption, words), tokens.count(caption, words)
    length = len(tokens.tokenizer(text).input_ids)
    assert text.endswith(words.strip()) and length == count.used <= 77
    assert count.kept and count.cut and count.kept + count.cut == caption
    assert text == joined(count.kept, words)


def test_a_caption_is_cut_between_words_and_as_little_as_can_be(tokens: Tokenizers) -> None:
    kept = tokens.count("lake " * 60, "sharp, clean").kept
    assert set(kept.split()) == {"lake"}
    assert len(tokens.tokenizer(joined(kept + " lake", "sharp, clean")).input_ids) > 77


def test_words_without_end_leave_the_caption_no_room(tokens: Tokenizers) -> None:
    assert tokens.count("a cat", "blurry " * 90) == (77, 77, "", "a cat")


def test_a_long_text_is_read_without_a_warning_that_it_is_long(tokens: Tokenizers, monkeypatch) -> None:
    """What is cut here leads to no "indexing errors"."""
    monkeypatch.setattr(tokens.tokenizer, "deprecation_warnings", {})
    tokens.count("word " * 200, "sharp")
    tokens.text_ids("word " * 200)
    assert not tokens.tokenizer.deprecation_warnings


def test_texts_are_begun_ended_cut_and_padded_as_clip_does(tokens: Tokenizers) -> None:
    plain = CLIPTokenizerFast.from_pretrained(tokens.tokenizer.name_or_path)
    for text in ("", "a cat", "many words " * 40):
        theirs = plain(text, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
        assert torch.equal(tokens.text_ids(text), theirs)


def test_counting_beside_a_run_leaves_its_texts_alone(tokens: Tokenizers) -> None:
    """A visitor types while another one's run reads its caption."""
    with ThreadPoolExecutor(4) as pool:
        counting = [pool.submit(tokens.count, f"a caption of {n} words") for n in range(400)]
        reading = [pool.submit(tokens.text_ids, f"a photo of {n} cats") for n in range(400)]
    assert {tuple(found.result().shape) for found in reading} == {(1, 77)}
    assert all(found.result().used > 2 for found in counting)
