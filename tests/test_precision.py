"""bf16 is for devices that are faster with it, not for all that have it."""

import pytest
import torch

from mmsr_core import precision


@pytest.mark.parametrize(
    "has,units,vendor,wanted",
    [
        (False, False, "AuthenticAMD", False),
        (True, False, "AuthenticAMD", True),
        (True, False, "GenuineIntel", False),
        (True, True, "GenuineIntel", True),
    ],
)
def test_a_cpu_computes_in_bf16_where_it_is_faster(monkeypatch, tmp_path, has, units, vendor, wanted):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(precision.platform, "processor", lambda: f"Family 25 Model 1, {vendor}")
    assert precision.bf16_pays("cpu") is wanted
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nvendor_id : {vendor}\n")
    monkeypatch.setattr(precision.platform, "processor", lambda: "")
    assert precision.bf16_pays("cpu") is wanted


def test_other_devices():
    assert not precision.bf16_pays("mps")


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_that_only_emulates_bf16_does_not_compute_in_it(monkeypatch, has):
    """torch says yes for every GPU unless it is asked not to count emulation."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation)
    assert precision.bf16_pays("cuda") is has
