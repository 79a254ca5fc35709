"""Models on disk: whole or refused, and the champion untouched by anything that fails."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import core.adapters.model_files as module
from core.adapters.model_files import EXPORT, ModelFiles
from core.errors import ModelError
from core.ml.manifest import Manifest
from core.ml.training import TrainedModel
from tests.core.ml.test_prediction import trained


@cache
def model() -> tuple[TrainedModel, Manifest]:
    return trained()


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    """A store with a champion."""
    found = ModelFiles(tmp_path / "models")
    found.save(model()[0].payload, model()[1])
    found.promote(model()[1].model_id)
    return found


def test_nothing_there_is_no_champion(tmp_path: Path) -> None:
    empty = ModelFiles(tmp_path / "models")

    assert (empty.champion_id(), empty.champion(), empty.ids(), empty.stamp()) == (None, None, (), ())


def test_a_champion_comes_back_as_it_was_saved_with_its_export(files: ModelFiles) -> None:
    found = files.champion()

    assert found is not None
    assert found.manifest == model()[1]
    assert (files.root / EXPORT).read_bytes() == model()[0].payload
    assert files.ids() == (model()[1].model_id,)
    assert not list(files.root.glob(".*"))


def test_saving_twice_changes_nothing(files: ModelFiles) -> None:
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in files.root.iterdir()}
    files.save(model()[0].payload, replace(model()[1], created="2027-01-01T00:00:00Z"))

    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in files.root.iterdir()} == before


def _damages(files: ModelFiles) -> dict[str, tuple[Path, bytes]]:
    name = model()[1].model_id
    whole = model()[0].payload
    manifest = model()[1]
    return {
        "cut": (files.root / f"{name}.json", whole[: len(whole) // 2]),
        "foreign": (files.root / f"{name}.json", b"hello"),
        "empty": (files.root / f"{name}.json", b""),
        "changed": (files.root / f"{name}.json", whole.replace(b"entry_rsi", b"entry_adx", 1)),
        "manifest cut": (files.root / f"{name}.manifest.json", manifest.to_json()[:50]),
        "manifest of another": (
            files.root / f"{name}.manifest.json",
            replace(manifest, model_id="xgb-v1-ffffffff").to_json(),
        ),
        "manifest with another hash": (
            files.root / f"{name}.manifest.json",
            replace(manifest, model_sha256="0" * 64).to_json(),
        ),
        "manifest with other features": (
            files.root / f"{name}.manifest.json",
            replace(manifest, features=("entry_rsi",)).to_json(),
        ),
        "pointer": (files.root / "champion.json", b"{"),
        "export": (files.root / EXPORT, whole[:100]),
    }


@pytest.mark.parametrize(
    "damage",
    [
        "cut",
        "foreign",
        "empty",
        "changed",
        "manifest cut",
        "manifest of another",
        "manifest with another hash",
        "manifest with other features",
        "pointer",
        "export",
    ],
)
def test_damage_is_refused_in_one_sentence_that_says_what_to_do(files: ModelFiles, damage: str) -> None:
    path, content = _damages(files)[damage]
    path.write_bytes(content)

    with pytest.raises(ModelError) as error:
        files.champion()

    assert "\n" not in str(error.value)
    assert "train again" in str(error.value)
    assert path.name.split(".")[0] in str(error.value)


def test_a_missing_file_is_named(files: ModelFiles) -> None:
    (files.root / f"{model()[1].model_id}.json").unlink()

    with pytest.raises(ModelError, match="cannot be read"):
        files.champion()


def test_the_export_may_be_missing(files: ModelFiles) -> None:
    (files.root / EXPORT).unlink()

    assert files.champion() is not None


def test_a_failed_promotion_or_save_leaves_the_champion(files: ModelFiles) -> None:
    with pytest.raises(ModelError):
        files.promote("xgb-v1-ffffffff")
    with pytest.raises(ModelError, match="do not belong together"):
        files.save(b"hello", replace(model()[1], model_id="xgb-v1-ffffffff"))

    assert files.champion_id() == model()[1].model_id
    assert files.champion() is not None
    assert files.ids() == (model()[1].model_id,)


@pytest.mark.parametrize("name", ["../champion", "a/b", "", ".hidden", "X"])
def test_a_model_id_is_no_path(files: ModelFiles, name: str) -> None:
    with pytest.raises(ModelError, match="no model id"):
        files.load(name)


def test_a_full_disk_is_one_sentence(files: ModelFiles) -> None:
    shutil.rmtree(files.root)
    files.root.write_text("a file where the folder should be")

    with pytest.raises(ModelError, match="cannot be written"):
        files.save(model()[0].payload, model()[1])


def test_the_stamp_changes_with_the_champion(files: ModelFiles) -> None:
    before = files.stamp()
    pointer = files.root / "champion.json"
    pointer.write_text(json.dumps(json.loads(pointer.read_text())))

    assert files.stamp() != before


def test_nothing_is_unpickled() -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

    assert not names & {"pickle", "joblib", "shelve", "marshal", "dill"}


def _beside(content: bytes = b'{"r": 1}') -> tuple[bytes, Manifest, dict[str, bytes]]:
    fitted, manifest = model()
    digest = hashlib.sha256(content).hexdigest()
    return fitted.payload, replace(manifest, extras={"sizing.json": digest}), {"sizing.json": content}


def test_files_beside_a_model_come_back_and_are_checked(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path / "models")
    payload, manifest, extras = _beside()
    files.save(payload, manifest, extras)

    assert files.beside(manifest.model_id, "sizing.json") == extras["sizing.json"]
    assert files.beside(manifest.model_id, "samples.json") is None
    assert files.ids() == (manifest.model_id,)

    (files.root / f"{manifest.model_id}.sizing.json").write_bytes(b"{")
    with pytest.raises(ModelError, match="is not the file its manifest describes"):
        files.beside(manifest.model_id, "sizing.json")
    files.save(payload, manifest, extras)  # the same model again mends it
    assert files.beside(manifest.model_id, "sizing.json") == extras["sizing.json"]


def test_a_file_beside_a_model_that_its_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path / "models")
    payload, manifest, extras = _beside()

    with pytest.raises(ModelError, match="not those that its manifest names"):
        files.save(payload, manifest, {"sizing.json": b"another"})
    odd = replace(manifest, extras={"../x.json": manifest.extras["sizing.json"]})
    with pytest.raises(ModelError, match="no name of a file"):
        files.save(payload, odd, {"../x.json": extras["sizing.json"]})
    assert files.ids() == ()


def test_a_pointer_that_names_no_model_is_called_that_with_its_file_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "champion.json").write_text('{"model_id": "../../secret"}')
    with pytest.raises(ModelError, match=r"champion\.json names no model; restore it from a backup or train again"):
        ModelFiles(tmp_path).champion()
