"""The package's front door."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


def missing_backend() -> str:
    """Why no wheel can be built here without a network, "" where one can."""
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]:
        wanted = Requirement(text)
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            return f"needs {text}"
        if found not in wanted.specifier:
            return f"needs {text}, found {found}"
    return ""


@pytest.mark.skipif(missing_backend() != "", reason=missing_backend())
def test_the_wheel_has_every_file_that_the_program_needs_and_no_tests(tmp_path):
    """Built of a copy, as building leaves files behind; the assets are empty there, as their names are what counts."""
    source, ours = tmp_path / "source", ("app", "assets", "mmsr_core")
    for name in (*ours, "tests"):
        copy = (lambda _, to: Path(to).touch()) if name == "assets" else shutil.copyfile
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / name, source / name, copy_function=copy, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copyfile(ROOT / name, source / name)
    files = [path.relative_to(source) for name in ours for path in (source / name).rglob("*") if path.is_file()]
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    build = [sys.executable, "-m", "pip", "wheel", str(source), *offline, "--wheel-dir", str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {path.as_posix() for path in files if path.parts[0] == "assets" or path.suffix != ".md"}
