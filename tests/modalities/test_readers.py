"""The extractors of a model: chosen by name, loaded when used, let go when memory is short, several at once."""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmsr_core import memory
from mmsr_core.hub import Stopped
from mmsr_core.modalities import MODALITIES, Unavailable, readers
from mmsr_core.modalities.models import MODELS
from mmsr_core.modalities.palette import BUNDLED, named
from mmsr_core.modalities.readers import Access, Readers, chosen
from mmsr_core.modalities.shelf import LEAST, Shelf, free_bytes
from tests.modalities import checkpoints

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
ROWS = {row.name: row for row in MODALITIES}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    home = tmp_path_factory.mktemp("public")
    return {
        "depth-anything": str(checkpoints.depth_anything(home / "depth")),
        "mask2former-coco": str(checkpoints.mask2former(home / "coco", list(named("coco").names))),
        "mask2former-ade": str(checkpoints.mask2former(home / "ade", list(named("ade").names))),
        "florence": str(checkpoints.florence(home / "florence")),
        "blip": str(checkpoints.blip(home / "blip")),
    }


@pytest.fixture(autouse=True)
def no_sweeping(monkeypatch):
    """Collecting a test session's garbage takes half a second each time."""
    monkeypatch.setattr(memory, "release", lambda: None)


@pytest.fixture
def read(tiny_folder, models):
    return Readers(tiny_folder, "cpu", models)


@pytest.fixture
def table(monkeypatch):
    """Rows with other ways of reading, for one test."""

    def use(name, **ways):
        changed = {**ROWS, name: replace(ROWS[name], extractors={**ROWS[name].extractors, **ways})}
        monkeypatch.setattr(readers, "ROWS", changed)
        monkeypatch.setattr(readers, "MODALITIES", tuple(changed.values()))

    return use


def way(of, make):
    return replace(ROWS[of].extractors[next(iter(ROWS[of].extractors))], make=make, label="Another")


LOCAL = [(row.name, how) for row in MODALITIES for how, way in row.extractors.items() if way.consent is None]


@pytest.mark.parametrize(("name", "how"), LOCAL)
def test_every_local_way_gives_the_exact_form_of_its_row(read, name, how):
    (found,) = read.read(PHOTO, [name], {name: how})
    value = found[1]
    assert found[0] == name and ROWS[name].check(value) == value
    assert isinstance(value, str) or value.size == PHOTO.size


def test_an_unknown_model_is_refused(tiny_folder):
    with pytest.raises(ValueError, match="extractor model: got midas, wanted some of depth-anything"):
        Readers(tiny_folder, "cpu", {"midas": "x"})


def test_what_is_asked_for_comes_before_the_presets_choice_and_that_before_the_first_of_the_row():
    preset = {"depth": "depth-anything"}
    assert chosen(("edge", "depth"), None, preset) == {"depth": "depth-anything", "edge": "canny"}
    assert chosen(("depth",), {"depth": "student"}, preset) == {"depth": "student"}
    assert chosen() == {row.name: next(iter(row.extractors)) for row in MODALITIES}


@pytest.mark.parametrize("wrong", [{"depth": "midas"}, {"normals": "student"}])
def test_an_unknown_modality_or_extractor_is_refused_even_where_it_is_not_read(wrong):
    with pytest.raises(ValueError, match="got .*(midas|normals).*wanted"):
        chosen(("edge",), wrong)


def test_a_presets_choice_is_read(tiny_folder, models):
    read = Readers(tiny_folder, "cpu", models, defaults={"depth": "depth-anything"})
    assert dict(read.read(PHOTO, ["depth"])) and "DepthAnything" in read.shelf.names[0]


def test_one_network_serves_all_lengths_and_is_loaded_once(read):
    for length in ("brief", "detailed", "more"):
        dict(read.read(PHOTO, ["text"], {"text": f"florence-{length}"}))
    assert sum("Florence" in name for name in read.shelf.names) == len(read.shelf.names) == 1
    read.release()
    assert read.shelf.names == ()


@pytest.mark.weights
def test_weights_without_students_use_the_bundled_ones(tmp_path):
    found = dict(Readers(tmp_path, "cpu").read(PHOTO))
    assert set(found) == set(ROWS)


def test_a_full_palette_is_drawn_by_those_who_can(tiny_folder, models):
    read = Readers(tiny_folder, "cpu", models, named("coco"))
    (found,) = read.read(PHOTO, ["segmentation"], {"segmentation": "mask2former-coco"})
    coco = named("coco")
    assert coco.render(coco.to_index(found[1])).tobytes() == found[1].tobytes()
    for how in ("student", "mask2former-ade"):
        with pytest.raises(
            ValueError, match=f"got {how}, which cannot draw the 133 classes.* wanted one of mask2former-c"
        ):
            dict(read.read(PHOTO, ["segmentation"], {"segmentation": how}))
    assert dict(read.read(PHOTO, ["text"], {"text": "composed"}))["text"].startswith("A photo")


def test_without_consent_no_photo_leaves_and_the_message_says_what_would_happen(read, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "present")
    with pytest.raises(ValueError, match="got Gemini Flash without leave. The photo leaves this machine"):
        dict(read.read(PHOTO, ["text"], {"text": "gemini"}))


def test_a_service_that_does_not_answer_is_replaced_and_said(read, table, monkeypatch):
    def make(site):
        assert site.key == "typed"

        def fail(image):
            raise Unavailable("Gemini did not answer (503 UNAVAILABLE)")

        return fail

    table("text", gemini=replace(ROWS["text"].extractors["gemini"], make=make))
    said = []
    found = dict(read.read(PHOTO, ["text"], {"text": "gemini"}, Access({"gemini": "typed"}, say=said.append)))
    assert found["text"].startswith("A photo")
    assert said == ["Caption: Gemini did not answer (503 UNAVAILABLE); Composed (bundled) is used instead."]


def test_a_key_stands_in_no_repr_and_is_not_kept(read, table):
    seen = []
    table(
        "text",
        gemini=replace(ROWS["text"].extractors["gemini"], make=lambda site: seen.append(site) or (lambda i: "x")),
    )
    access = Access({"gemini": "AIza-secret"})
    dict(read.read(PHOTO, ["text"], {"text": "gemini"}, access))
    assert "secret" not in repr(access) + repr(seen[0]) + repr(vars(read)) + repr(read.shelf.names)


def test_who_waits_for_a_service_does_not_hold_up_the_others(read, table):
    slow = lambda site: lambda image: time.sleep(0.5) or "late"  # noqa: E731
    table("text", gemini=replace(ROWS["text"].extractors["gemini"], make=slow))
    access, start = Access({"gemini": None}), time.monotonic()
    order = [name for name, _ in read.read(PHOTO, ["text", "edge"], {"text": "gemini"}, access)]
    assert order == ["edge", "text"] and time.monotonic() - start < 0.9


def test_local_ones_run_side_by_side_where_there_are_cores(read, table, monkeypatch):
    together = threading.Barrier(2, timeout=10)
    table("depth", met=way("depth", lambda site: lambda image: together.wait() and image.convert("L")))
    table_row = readers.ROWS["depth"]
    both = {**readers.ROWS, "depth": table_row}
    both["edge"] = replace(ROWS["edge"], extractors={"met": way("edge", lambda site: lambda image: together.wait())})
    monkeypatch.setattr(readers, "ROWS", both)
    monkeypatch.setattr(readers, "MODALITIES", tuple(both.values()))
    monkeypatch.setattr(readers.os, "cpu_count", lambda: 2 * torch.get_num_threads())
    assert len(list(read.read(PHOTO, ["depth", "edge"], {"depth": "met", "edge": "met"}))) == 2


def test_a_reading_can_be_stopped_while_a_service_is_waited_for(read, table):
    table("text", gemini=replace(ROWS["text"].extractors["gemini"], make=lambda site: lambda image: time.sleep(20)))
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    start = time.monotonic()
    with pytest.raises(Stopped, match="reading: stopped"):
        dict(read.read(PHOTO, ["text"], {"text": "gemini"}, Access({"gemini": None}, cancel=cancel)))
    assert time.monotonic() - start < 2


def test_who_has_not_begun_when_another_failed_never_begins(read, table, monkeypatch):
    begun = []

    def broken(site):
        raise ValueError("depth: got nothing, wanted something")

    table("depth", broken=way("depth", broken))
    both = dict(readers.ROWS)
    both["edge"] = replace(ROWS["edge"], extractors={"slow": way("edge", lambda site: lambda image: begun.append(1))})
    monkeypatch.setattr(readers, "ROWS", both)
    monkeypatch.setattr(readers, "MODALITIES", tuple(both.values()))
    monkeypatch.setattr(Readers, "workers", lambda self: 1)
    with pytest.raises(ValueError, match="depth: got nothing"):
        for _ in read.read(PHOTO, ["depth", "edge"], {"depth": "broken", "edge": "slow"}):
            pass
    assert len(begun) <= 1


def test_an_error_of_one_is_the_error_of_all(read, table):
    def broken(site):
        raise ValueError("depth: got nothing, wanted something")

    table("depth", broken=way("depth", broken))
    with pytest.raises(ValueError, match="depth: got nothing"):
        dict(read.read(PHOTO, extractors={"depth": "broken"}))


def test_out_of_memory_is_tried_again_alone_and_then_on_the_cpu(read, table):
    seen, said = [], []

    def make(site):
        def run(image):
            seen.append((site.device, read.shelf.names))
            if len(seen) < 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return image.convert("L")

        return run

    read.device = "cuda"
    read.shelf.keep("something large", object)
    table("depth", big=way("depth", make))
    dict(read.read(PHOTO, ["depth"], {"depth": "big"}, Access(say=said.append)))
    assert seen == [("cuda", ("something large",)), ("cuda", ()), ("cpu", ())]
    assert said == ["Depth: not enough memory on cuda, read on the CPU instead."]


def test_the_shelf_lets_go_of_the_oldest_until_there_is_room():
    held = {}
    shelf = Shelf("cpu", free=lambda: LEAST + 1000 - sum(held[name] for name in shelf.names))
    for name, size in (("a", 300), ("b", 300), ("c", 300)):
        held[name] = size
        shelf.keep(name, lambda name=name: name, size)
    assert shelf.names == ("b", "c")  # half as much again as the weights was wanted
    shelf.keep("b", lambda: pytest.fail("it is there"))
    held["d"] = 400
    shelf.keep("d", lambda: "d", 400)
    assert shelf.names == ("b", "d")
    shelf.make_room(10**12)
    assert shelf.names == ()


def test_free_memory_is_known():
    assert free_bytes("cpu") > 10**7


def test_revisions_are_pinned_and_licences_known():
    for model in MODELS.values():
        assert model.licence
        assert model.megabytes == 0 or len(model.id.split("@")[1]) == 40


def test_an_unreachable_hub_is_one_sentence_in_three_seconds(tiny_folder):
    start = time.monotonic()
    with pytest.raises(ValueError, match="Depth-Anything-V2-Small-hf', which is not on this disk, and the hub"):
        dict(Readers(tiny_folder, "cpu").read(PHOTO, ["depth"], {"depth": "depth-anything"}))
    assert time.monotonic() - start < 3


def test_importing_the_readers_loads_neither_torch_nor_transformers():
    code = "import sys, mmsr_core.modalities.readers; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_full_palettes_are_distinct_and_belong_to_the_bundled_one():
    for name, size in (("coco", 133), ("ade", 150)):
        palette = named(name)
        assert len(palette.classes) == len({row.rgb for row in palette.classes}) == len(set(palette.names)) == size
        assert set(palette.broad) == set(range(1, len(BUNDLED.classes)))  # all but "other"
        index = np.arange(size, dtype=np.uint8)[None]
        assert (palette.to_index(palette.render(index)) == index).all()
    with pytest.raises(ValueError, match="palette: got 'nyu', wanted one of mmsr, coco, ade"):
        named("nyu")


def test_labels_are_found_by_name_whatever_their_order_and_spelling():
    ade = named("ade")
    spelt = {i: {"road": "road, route", "bed": "bed "}.get(name, name) for i, name in enumerate(ade.names)}
    assert ade.places(spelt).tolist() == list(range(150))
    turned = dict(enumerate(ade.names[::-1]))
    assert ade.places(turned).tolist() == list(range(150))[::-1]
    with pytest.raises(ValueError, match="got a network with 150 labels, 0 of them"):
        ade.places({i: f"label {i}" for i in range(150)})


def test_what_nothing_refers_to_is_swept_even_where_no_network_was_loaded(monkeypatch):
    """After a run that did not fit, its tensors are what is in the way."""
    swept = []
    monkeypatch.setattr(memory, "release", lambda: swept.append(True))
    Shelf("cpu").release()
    assert swept
