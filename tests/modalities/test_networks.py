"""The public networks on tiny checkpoints of their own classes: forms, and that they say what transformers says."""

import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from mmsr_core.modalities.captions import TASKS, Blip, Florence, plain
from mmsr_core.modalities.depth_anything import DepthAnything
from mmsr_core.modalities.mask2former import Mask2Former
from mmsr_core.modalities.network import Network
from mmsr_core.modalities.palette import BUNDLED, named
from tests.modalities import checkpoints

SIZES = [(1, 1), (16, 200), (75, 53), (1100, 700)]


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("public")
    return {
        "depth": checkpoints.depth_anything(home / "depth"),
        "metric": checkpoints.depth_anything(home / "metric", depth_estimation_type="metric", max_depth=20),
        "coco": checkpoints.mask2former(home / "coco", list(named("coco").names)),
        "ade": checkpoints.mask2former(home / "ade", list(named("ade").names)),
        "florence": checkpoints.florence(home / "florence"),
        "blip": checkpoints.blip(home / "blip"),
    }


@pytest.fixture(scope="module")
def extractors(folders):
    coco = Mask2Former(folders["coco"])
    return {
        "depth": DepthAnything(folders["depth"]),
        "bundled": coco.drawing("coco", BUNDLED),
        "full": coco.drawing("coco", named("coco")),
        "florence": Florence(folders["florence"]).saying("brief"),
        "blip": Blip(folders["blip"]),
    }


@pytest.mark.parametrize("size", SIZES)
def test_maps_have_the_photos_size_and_form(extractors, size):
    assert (extractors["depth"](photo(size)).size, extractors["depth"](photo(size)).mode) == (size, "L")
    for name, palette in (("bundled", BUNDLED), ("full", named("coco"))):
        drawn = extractors[name](photo(size))
        assert drawn.size == size and drawn.mode == "RGB"
        assert palette.render(palette.to_index(drawn)).tobytes() == drawn.tobytes()


@pytest.mark.parametrize("name", ["depth", "bundled", "full", "florence", "blip"])
def test_many_are_the_same_as_one_by_one_in_their_order(extractors, name):
    given = [photo((64, 48), 1), photo((48, 64), 2), photo((64, 48), 3).convert("RGBA")]
    together, alone = extractors[name].many(given), [extractors[name](image) for image in given]
    if isinstance(alone[0], str):
        assert together == alone
    else:
        for a, b in zip(together, alone, strict=True):
            assert a.size == b.size and np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() < 1


def test_depth_is_what_transformers_predicts_stretched(extractors, folders):
    image = photo((112, 84))
    wanted = pipeline("depth-estimation", str(folders["depth"]), device="cpu")(image)["predicted_depth"].numpy()
    seen = np.asarray(extractors["depth"](image), float)
    assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.99
    assert seen.min() == 0 and seen.max() == 255


def test_metres_become_near_is_bright(folders):
    metric = DepthAnything(folders["metric"])
    image = photo((112, 84))
    metres = pipeline("depth-estimation", str(folders["metric"]), device="cpu")(image)["predicted_depth"].numpy()
    assert metric.metric and np.corrcoef(np.asarray(metric(image), float).ravel(), 1 / metres.ravel())[0, 1] > 0.9


def test_a_flat_scene_stays_flat(extractors):
    depth = extractors["depth"]
    ramp = np.linspace(20, 20.5, 600).reshape(20, 30)
    assert np.ptp(np.asarray(depth._map(ramp, (30, 20)))) < 80
    assert np.ptp(np.asarray(depth._map(ramp * np.linspace(0.5, 1, 30), (30, 20)))) > 240


def test_segmentation_is_what_transformers_says(extractors, folders):
    image, coco = photo((96, 64), 5), named("coco")
    regions = pipeline("image-segmentation", str(folders["coco"]), device="cpu", subtask="semantic")(image)
    index = coco.to_index(extractors["full"](image))
    assert {coco.names[i] for i in np.unique(index)} == {region["label"] for region in regions}
    for region in regions:
        assert (index[np.asarray(region["mask"]) > 0] == coco.names.index(region["label"])).all()
    broad = BUNDLED.to_index(extractors["bundled"](image))
    assert (broad == np.array(coco.broad)[index]).all()


def test_labels_of_another_network_or_palette_are_refused(folders):
    coco, ade = Mask2Former(folders["coco"]), Mask2Former(folders["ade"])
    with pytest.raises(ValueError, match="got a network with 133 labels, .* wanted its 150"):
        coco.drawing("ade", BUNDLED)
    with pytest.raises(ValueError, match="got ade labels for a model that knows the palette coco"):
        ade.drawing("ade", named("coco"))
    assert ade.drawing("ade", named("ade"))(photo((40, 30))).size == (40, 30)


def test_florence_says_what_its_own_processor_reads(extractors, folders):
    image = photo((64, 64))
    florence = Florence(folders["florence"])
    processor, model = florence.network.processor, florence.network.model
    for length, (task, words) in TASKS.items():
        given = processor(images=image, text=task, return_tensors="pt")
        ids = model.generate(**given, max_new_tokens=words, do_sample=False, num_beams=1, no_repeat_ngram_size=3)
        text = processor.batch_decode(ids, skip_special_tokens=False)[0].replace("<pad>", "")
        wanted = processor.post_process_generation(text, task=task, image_size=image.size)[task]
        assert florence.saying(length)(image) == plain(wanted)
    with pytest.raises(ValueError, match="got 'endless', wanted one of brief, detailed, more detailed"):
        florence.saying("endless")


def test_files_of_transformers_4_are_read(extractors, folders, tmp_path):
    image = photo((64, 64))
    for name, tokenizer, load in (
        ("florence", "BartTokenizer", lambda folder: Florence(folder).saying("brief")),
        ("blip", "BertTokenizer", Blip),
    ):
        shutil.copytree(folders[name], tmp_path / name)
        assert load(checkpoints.as_published(tmp_path / name, tokenizer))(image) == extractors[name](image)


def test_blip_reads_weights_in_the_old_format(extractors, folders, tmp_path):
    for path in folders["blip"].iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save(extractors["blip"].network.model.state_dict(), tmp_path / "pytorch_model.bin")
    assert Blip(tmp_path)(photo((64, 64))) == extractors["blip"](photo((64, 64))) != ""


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("a cat on a sofa", "A cat on a sofa."),
        ("The image shows a red barn in a field.", "A red barn in a field."),
        (
            "In this image we can see a dog. In the background there is grass.",
            "A dog. In the background there is grass.",
        ),
        ("The image is a photograph of a lake. The sky is", "Photograph of a lake."),
        ("There are two boats on the water", "Two boats on the water."),
        ("A house. The image is blurry and noisy. Trees stand around it.", "A house. Trees stand around it."),
        ("a blurry photo of a street", "A photo of a street."),
        ("A cat", "A cat."),
        ("  a\n lake  ", "A lake."),
        ("", ""),
    ],
)
def test_captions_say_only_what_is_there(said, wanted):
    assert plain(said) == wanted
    assert plain(wanted) == wanted


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["florence", "blip"])
def test_captions_are_one_line_whatever_the_photos_size(extractors, name, size):
    said = extractors[name](photo(size))
    assert isinstance(said, str) and said == " ".join(said.split())


@pytest.mark.parametrize(("device", "pays", "half"), [("cuda:0", 1, 1), ("cuda:0", 0, 0), ("cpu", 1, 0)])
def test_only_a_gpu_that_is_fast_at_it_computes_in_bf16(monkeypatch, device, pays, half):
    """An older one would emulate it."""
    monkeypatch.setattr("mmsr_core.modalities.network.bf16_pays", lambda kind: pays)
    context = Network.running(SimpleNamespace(device=device))
    assert isinstance(context, torch.autocast if half else nullcontext)
