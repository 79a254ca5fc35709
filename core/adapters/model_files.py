"""Models on disk: a JSON file and a JSON manifest each, and a pointer to the champion. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelError
from core.ml.manifest import Manifest
from core.ml.prediction import Champion

EXPORT = "julaba_ml_v1.json"
"""The current champion's model file under the name its owner knows."""

_POINTER = "champion.json"
_ID = re.compile(r"^[a-z0-9][a-z0-9.-]{0,80}$")
_EXTRA = re.compile(r"^[a-z0-9]+(\.[a-z0-9]+)+$")
_ADVICE = "restore it from a backup or train again (`julaba train`)"


@dataclass(frozen=True)
class ModelFiles:
    """``<data-dir>/models``: ``<model_id>.json``, ``<model_id>.manifest.json``, ``champion.json``, the export.

    Every file is written whole under another name and then renamed, the pointer last: a crash leaves the old champion.
    """

    root: Path

    def save(self, payload: bytes, manifest: Manifest, extras: Mapping[str, bytes] | None = None) -> None:
        """Writes a model, its manifest and the files beside it; saving the same model twice changes nothing.

        ``extras``: further files by name (``sizing.json``), kept as ``<model_id>.<name>``. Raises ModelError where they
        do not belong together or the disk refuses.
        """
        extras = extras or {}
        if hashlib.sha256(payload).hexdigest() != manifest.model_sha256:
            raise ModelError(f"the model {manifest.model_id} and its manifest do not belong together")
        if {name: hashlib.sha256(content).hexdigest() for name, content in extras.items()} != dict(manifest.extras):
            raise ModelError(f"the files beside {manifest.model_id} are not those that its manifest names")
        Champion.of(payload, manifest)
        if self._is_whole(manifest):
            return
        self._write(self._model(manifest.model_id), payload)
        for name, content in extras.items():
            self._write(self._extra(manifest.model_id, name), content)
        self._write(self._manifest(manifest.model_id), manifest.to_json())

    def beside(self, model_id: str, name: str) -> bytes | None:
        """A file beside a saved model, checked; None where the model has none of that name. Raises ModelError."""
        wanted = self.manifest(model_id).extras.get(name)
        if wanted is None:
            return None
        path = self._extra(model_id, name)
        content = self._read(path)
        if hashlib.sha256(content).hexdigest() != wanted:
            raise ModelError(f"{path} is not the file its manifest describes (cut, changed or foreign); {_ADVICE}")
        return content

    def promote(self, model_id: str) -> None:
        """Makes a saved model the champion. Raises ModelError, the old champion untouched, where it is not whole."""
        champion = self.load(model_id)
        pointer = {"model_id": model_id, "model_sha256": champion.manifest.model_sha256}
        self._write(self.root / EXPORT, self._read(self._model(model_id)))
        self._write(self.root / _POINTER, json.dumps(pointer, indent=1).encode())

    def champion_id(self) -> str | None:
        """The champion's id, None where there is none yet. Raises ModelError where the pointer is damaged."""
        path = self.root / _POINTER
        if not path.exists():
            return None
        try:
            model_id = str(json.loads(self._read(path))["model_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is damaged; {_ADVICE}") from error
        if not _ID.match(model_id):
            raise ModelError(f"{path} names no model; {_ADVICE}")
        return model_id

    def champion(self) -> Champion | None:
        """The champion, checked against its manifest, its pointer and its export. Raises ModelError."""
        model_id = self.champion_id()
        if model_id is None:
            return None
        champion = self.load(model_id)
        pointer, export = json.loads(self._read(self.root / _POINTER)), self.root / EXPORT
        if pointer.get("model_sha256") != champion.manifest.model_sha256:
            raise ModelError(f"{self.root / _POINTER} names another version of {model_id}; {_ADVICE}")
        if export.exists() and self._is_foreign(export, champion.manifest):
            raise ModelError(f"{export} is not the champion's file (cut, changed or foreign); delete it or train again")
        return champion

    def _is_foreign(self, export: Path, manifest: Manifest) -> bool:
        """Whether an export is neither the champion's file nor another model's: that one a cut-off promotion leaves."""
        found = hashlib.sha256(self._read(export)).hexdigest()
        if found == manifest.model_sha256:
            return False
        return all(found != self._hash_of(model_id) for model_id in self.ids())

    def _hash_of(self, model_id: str) -> str | None:
        try:
            return self.manifest(model_id).model_sha256
        except ModelError:
            return None

    def mend(self) -> bool:
        """Gives a promotion that was cut off between its two files its end: the export is the pointer's model again.

        True where there was something to mend. What is damaged otherwise stays as it is: training mends that.
        """
        try:
            model_id = self.champion_id()
            if model_id is None or self.damage(model_id):
                return False
            content = self._read(self._model(model_id))
            export = self.root / EXPORT
            if export.exists() and (self._read(export) == content or self._is_foreign(export, self.manifest(model_id))):
                return False
            self._write(export, content)
        except ModelError:
            return False
        return True

    def damage(self, model_id: str) -> str:
        """What is wrong with a saved model's files, told without loading it; empty where they are whole."""
        try:
            manifest = self.manifest(model_id)
            path = self._model(model_id)
            if hashlib.sha256(self._read(path)).hexdigest() != manifest.model_sha256:
                return f"{path.name} is not the file its manifest describes"
            for name in manifest.extras:
                self.beside(model_id, name)
        except ModelError as error:
            return str(error)
        return ""

    def remove(self, model_id: str) -> None:
        """Deletes a saved model, its manifest last, so that what is cut off in between is still listed.

        Raises ModelError for the champion, and where the disk refuses.
        """
        if model_id == self.champion_id():
            raise ModelError(f"{model_id} is the champion and stays")
        manifest = self._manifest(model_id)
        try:
            for path in sorted(self.root.glob(f"{model_id}.*")):
                if path != manifest:
                    path.unlink()
            manifest.unlink()
        except OSError as error:
            raise ModelError(f"{model_id} cannot be deleted ({error.strerror})") from error

    def load(self, model_id: str) -> Champion:
        """A saved model, checked. Raises ModelError naming the file and what to do."""
        manifest = self.manifest(model_id)
        path = self._model(model_id)
        payload = self._read(path)
        if hashlib.sha256(payload).hexdigest() != manifest.model_sha256:
            raise ModelError(f"{path} is not the file its manifest describes (cut, changed or foreign); {_ADVICE}")
        try:
            return Champion.of(payload, manifest)
        except ModelError as error:
            raise ModelError(f"{path}: {error}; {_ADVICE}") from error

    def manifest(self, model_id: str) -> Manifest:
        """A saved model's manifest. Raises ModelError naming the file and what to do."""
        path = self._manifest(model_id)
        content = self._read(path)
        try:
            manifest = Manifest.from_json(content)
        except ModelError as error:
            raise ModelError(f"{error} ({path.name}); {_ADVICE}") from error
        if manifest.model_id != model_id:
            raise ModelError(f"{path} describes {manifest.model_id}, another model; {_ADVICE}")
        return manifest

    def ids(self) -> tuple[str, ...]:
        """The ids of all saved models, sorted."""
        return tuple(sorted(p.name.removesuffix(".manifest.json") for p in self.root.glob("*.manifest.json")))

    def stamp(self) -> tuple[int, ...]:
        """Changes whenever the champion's files do: cheap enough to ask before each prediction."""
        return tuple(
            number
            for name in (_POINTER, EXPORT)
            if (path := self.root / name).exists()
            for number in (path.stat().st_mtime_ns, path.stat().st_size)
        )

    def _is_whole(self, manifest: Manifest) -> bool:
        """Whether all files of this model are there; the same model may come again with other files beside it."""
        try:
            saved = self.load(manifest.model_id).manifest
            if saved.model_sha256 != manifest.model_sha256 or dict(saved.extras) != dict(manifest.extras):
                return False
            return all(self.beside(manifest.model_id, name) is not None for name in saved.extras)
        except ModelError:
            return False

    def _model(self, model_id: str) -> Path:
        return self._path(model_id, ".json")

    def _manifest(self, model_id: str) -> Path:
        return self._path(model_id, ".manifest.json")

    def _extra(self, model_id: str, name: str) -> Path:
        if not _EXTRA.match(name) or name == "manifest.json":
            raise ModelError(f"{name!r} is no name of a file beside a model")
        return self._path(model_id, f".{name}")

    def _path(self, model_id: str, suffix: str) -> Path:
        if not _ID.match(model_id):
            raise ModelError(f"{model_id!r} is no model id")
        return self.root / f"{model_id}{suffix}"

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}); {_ADVICE}") from error

    def _write(self, path: Path, content: bytes) -> None:
        part = path.with_name(f".{path.name}.part")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise ModelError(f"{path} cannot be written ({error.strerror})") from error
