"""Weights by path or id: the disk first, an unreachable hub said at once, a download that can be stopped."""

import socket
import subprocess
import sys
import threading
import time

import pytest
from huggingface_hub import constants

from mmsr_core import hub
from mmsr_core.hub import Source, fetch, revision_of
from tests import fake_hub

FILES = {"config.json": b"{}", "README.md": b"# hello", "model.safetensors": b"w" * 300_000, "other.bin": b"x" * 10}
WANTED = (["config.json", "README.md"], ("*.safetensors", "*.bin"))


@pytest.fixture
def online(monkeypatch, tmp_path):
    """huggingface_hub's own settings, as if the program had been started with them."""

    def use(address: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", address)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return use


def test_a_revision_stands_after_the_id():
    assert Source.parse("owner/name@abc") == Source("owner/name", "abc")
    assert Source.parse("owner/name") == Source("owner/name")


def test_a_path_is_taken_as_it_is(tmp_path):
    assert fetch(tmp_path, *WANTED) == tmp_path
    odd = tmp_path / "a@b"
    odd.mkdir()
    assert fetch(str(odd)) == odd


@pytest.mark.parametrize("wrong", ["no-such-folder", "a/b/c", "/no/such/folder", "-", ""])
def test_what_is_neither_path_nor_id_is_refused_without_asking_the_hub(wrong):
    with pytest.raises(ValueError, match="weights: got .* wanted a folder or a hub id"):
        fetch(wrong)


def test_downloads_what_is_wanted_once(online):
    said = []
    with fake_hub.running(FILES) as server:
        online(server.address)
        folder = fetch("some/model", *WANTED, say=said.append)
        assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
        assert revision_of(folder) == fake_hub.COMMIT and said == ["Downloading some/model; this happens once."]
    assert fetch("some/model", *WANTED, say=said.append) == folder  # the hub is gone
    assert fetch(f"some/model@{fake_hub.COMMIT}", *WANTED) == folder and len(said) == 1


def test_takes_the_second_kind_of_weights_where_the_first_is_missing(online):
    with fake_hub.running({name: data for name, data in FILES.items() if name != "model.safetensors"}) as server:
        online(server.address)
        assert (fetch("some/model", *WANTED) / "other.bin").exists()


def test_a_repository_without_the_files_is_refused(online):
    with fake_hub.running({"config.json": b"{}"}) as server:
        online(server.address)
        with pytest.raises(ValueError, match=r"did not give \(without \*.safetensors or \*.bin\)"):
            fetch("some/model", *WANTED)


def test_an_id_that_is_not_there_is_refused_in_one_line(online):
    with fake_hub.running(FILES) as server:
        online(server.address)
        with pytest.raises(ValueError, match="weights: got 'nobody/nothing', which the hub did not give") as caught:
            fetch("nobody/nothing", *WANTED)
    assert "\n" not in str(caught.value)


def test_an_unreachable_hub_is_said_within_three_seconds(online):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        online(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(ValueError, match="got 'some/model', which is not on this disk, and the hub cannot"):
            fetch("some/model", *WANTED)
        assert time.monotonic() - start < 3


def test_offline_is_said_at_once(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    start = time.monotonic()
    with pytest.raises(ValueError, match="the hub cannot be reached"):
        fetch("some/model", *WANTED)
    assert time.monotonic() - start < 0.5


def test_a_download_can_be_stopped_and_goes_on_later(online):
    files = {**FILES, "model.safetensors": b"w" * 40_000_000}
    with fake_hub.running(files, pause=0.02) as server:
        online(server.address)
        cancel = threading.Event()
        threading.Timer(1.5, cancel.set).start()
        start = time.monotonic()
        with pytest.raises(hub.Stopped, match="weights: stopped the download of some/model"):
            fetch("some/model", *WANTED, cancel=cancel)
        assert time.monotonic() - start < 3
        server.pause = 0
        folder = fetch("some/model", *WANTED)  # what the first attempt left behind does not count as a download
        assert (folder / "model.safetensors").stat().st_size == 40_000_000


def test_a_download_that_stalls_is_given_up(online, monkeypatch):
    monkeypatch.setattr(hub, "STALLED", 1.0)
    with fake_hub.running({**FILES, "model.safetensors": b"w" * 1_000_000}, pause=60) as server:
        online(server.address)
        with pytest.raises(ValueError, match="weights: got nothing more of some/model"):
            fetch("some/model", *WANTED)


def test_a_file_that_goes_while_a_download_is_watched_does_not_end_it(online, tmp_path):
    """Finished files are renamed between the look at the folder and the look at the file."""
    blobs = tmp_path / "cache" / "models--some--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "gone.incomplete").symlink_to(blobs / "nowhere")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"]) as process:
        hub._watch(process, "some/model", None)
    assert process.returncode == 0
