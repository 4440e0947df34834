"""Saving, sending and taking back: the card says what is in the folder, the hub gets all of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, ModelCard

from mmsr_core import card
from mmsr_core.images import to_tensor
from mmsr_core.pipeline import MMSRPipeline
from mmsr_core.settings import Settings


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """What would be sent lies in a folder, by repository."""

    class Repo:
        def __init__(self, name):
            self.repo_id = name

    def upload_folder(self, repo_id, folder_path, **_):
        for path in Path(folder_path).rglob("*"):
            if path.is_file():
                upload_file(self, path, path.relative_to(folder_path), repo_id)

    def upload_file(self, path_or_fileobj, path_in_repo, repo_id):
        target = tmp_path / "hub" / repo_id / path_in_repo
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path_or_fileobj).read_bytes())

    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **_: Repo(name))
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(HfApi, "upload_file", upload_file)
    return tmp_path / "hub"


def test_a_pushed_pipeline_comes_back_the_same(pipeline, photo, maps, hub):
    address = pipeline.push_to_hub("owner/upscaler")
    assert address.endswith("/owner/upscaler")
    again = MMSRPipeline.from_pretrained(hub / "owner" / "upscaler")
    settings = Settings(seed=1, steps=1, weight=0.0)
    pictures = [np.asarray(list(one.stream(to_tensor(photo), maps, settings))[-1].picture) for one in (pipeline, again)]
    assert np.array_equal(*pictures)


def test_the_card_tells_parts_sizes_and_whether_it_is_trained(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "upscaler")
    found = ModelCard.load(tmp_path / "upscaler" / "README.md")
    assert (found.data.library_name, found.data.pipeline_tag) == ("diffusers", "image-to-image")
    count = sum(p.numel() for p in pipeline.unet.parameters())
    assert f"| unet | UNet2DConditionModel | {count:,} |" in found.text and "# upscaler" in found.text
    assert "Untrained" not in found.text
    pipeline.connector.register_to_config(trained=False)
    try:
        assert "Untrained" in card.model_card(pipeline, "x").text
    finally:
        pipeline.connector.register_to_config(trained=True)


def test_a_card_that_somebody_wrote_is_kept(pipeline, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    pipeline.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_folder_is_sent_with_its_extractors(tiny_folder, hub, capsys):
    card.main([str(tiny_folder), "owner/all"])
    sent = {path.relative_to(hub / "owner" / "all").as_posix() for path in (hub / "owner" / "all").rglob("*.json")}
    assert {"depth/config.json", "segmentation/config.json", "unet/config.json", "model_index.json"} <= sent
    assert json.loads((hub / "owner" / "all" / "model_index.json").read_text())["_class_name"] == "MMSRPipeline"
    assert "owner/all" in capsys.readouterr().out


def test_a_bundled_card_becomes_the_readme(hub, tmp_path):
    folder = tmp_path / "mini"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    (folder / "MODEL_CARD.md").write_text("about")
    card.publish(folder, "owner/mini")
    assert (hub / "owner" / "mini" / "README.md").read_text() == "about"
    with pytest.raises(SystemExit, match="without model_index.json"):
        card.main([str(tmp_path / "nothing"), "owner/mini"])
