"""The package's front door."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mmsr_core

ROOT = Path(__file__).parent.parent


def test_public_names_load_on_use_and_import_loads_nothing():
    code = "import sys, mmsr_core; print({'torch', 'numpy', 'PIL'} & set(sys.modules)); mmsr_core.Settings"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()" and done.returncode == 0, done.stderr
    for name in mmsr_core.__all__:
        assert getattr(mmsr_core, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        mmsr_core.nonsense  # noqa: B018


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"] and "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "mmsr_core.__version__"}
