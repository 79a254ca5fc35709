"""The registry: lineage, reigns, what may be deleted, and the book that follows the files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapters.model_files import EXPORT, ModelFiles
from core.errors import ModelError, UsageError
from core.ports import ChampionRecord
from core.services.registry import KEEP, ROLLED_BACK, succession
from tests.thrones import OLE, better, saved, throne


def reign(model_id: str, back: bool = False) -> ChampionRecord:
    return ChampionRecord("main", model_id, 0, "x", f"{ROLLED_BACK} from y" if back else "better")


def test_a_rollback_takes_away_what_came_after_and_any_other_reign_is_added() -> None:
    records = [reign("a"), reign("b"), reign("c"), reign("b", back=True)]

    assert succession(records) == ("a", "b")
    assert succession([*records, reign("d")]) == ("a", "b", "d")
    assert succession([*records, reign("c")]) == ("a", "b", "c")
    assert succession([reign("a"), reign("b"), reign("a")]) == ("a", "b", "a")
    assert succession([reign("a", back=True)]) == ("a",)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8))
def test_rolling_back_as_often_as_possible_ends_at_the_first_champion(names: list[str]) -> None:
    records = [reign(name) for name in names]
    steps = 0
    while len(line := succession(records)) > 1:
        records.append(reign(line[-2], back=True))
        steps += 1
        assert succession(records)[-1] == line[-2]
        assert steps < len(names), "it never ends"

    assert succession(records) == (names[0],)


async def test_models_are_listed_with_their_state_parents_and_reigns(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second")) as at:
        saved(at.files, "third", parent="second", day=5, challenge=better("second", "third"))
        saved(at.files, "cut", day=1)
        (at.files.root / "cut.json").write_bytes(b"{")
        saved(at.files, "blind", day=2)
        (at.files.root / "blind.manifest.json").write_bytes(b"{")
        listed = await at.registry.list()
        states = {m.model_id: m.state for m in listed.models}
        third, second, first = (listed.find(name) for name in ("third", "second", "first"))

    assert listed.models[0].model_id == "third"
    assert states == {
        "first": "former champion",
        "second": "champion",
        "third": "challenger",
        "cut": "damaged",
        "blind": "damaged",
    }
    assert (listed.champion, listed.before) == ("second", "first")
    assert (third.parent, second.parent, first.parent) == ("second", "first", None)
    assert third.comparison == better("second", "third")
    assert (third.kind, third.feature_set, third.rows, third.auc) == ("logistic", "v1", 400, 0.58)
    assert first.reigns[0].until == second.reigns[0].since
    assert second.reigns[0].until is None


async def test_a_model_is_found_by_the_end_of_its_id_where_that_names_one(tmp_path: Path) -> None:
    async with throne(tmp_path, ("xgb-v1-11112222",)) as at:
        saved(at.files, "xgb-v2-33332222")
        listed = await at.registry.list()

    assert listed.find("11112222").model_id == "xgb-v1-11112222"
    for name in ("2222", "222", "", "xgb"):
        with pytest.raises(UsageError, match="there is no model"):
            listed.find(name)


async def test_old_challengers_are_deleted_but_never_a_champion_of_any_time(tmp_path: Path) -> None:
    async with throne(tmp_path, ("first", "second")) as at:
        saved(at.files, "parent-of-one", day=-50)
        for name in (saved(at.files, "childless", day=-60), "second"):
            await at.registry.crown(name, "main", "Ann", "to see")
        for number in range(KEEP + 3):
            saved(at.files, f"c{number:02d}", day=number, parent="parent-of-one")
        saved(at.files, "asked-for", day=-40)
        gone = await at.registry.prune(["asked-for"])
        left = set(at.files.ids())

    assert gone == ("c02", "c01", "c00")
    assert left == {
        "first",
        "second",
        "childless",
        "parent-of-one",
        "asked-for",
        *(f"c{n:02d}" for n in range(3, KEEP + 3)),
    }
    assert not list(at.files.root.glob("c00*"))


async def test_the_champion_is_never_deleted(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        with pytest.raises(ModelError, match="first is the champion and stays"):
            at.files.remove("first")


async def test_a_deletion_cut_off_in_between_leaves_a_model_that_is_still_listed(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "old")
        (at.files.root / "old.json").unlink()
        assert "old" in at.files.ids()
        assert (await at.registry.list()).find("old").state == "damaged"
        at.files.remove("old")
        assert "old" not in at.files.ids()


async def test_a_promotion_cut_off_between_its_two_files_is_no_damage_and_is_mended(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "second")
        export = at.files.root / EXPORT
        export.write_bytes((at.files.root / "second.json").read_bytes())
        whole = at.files.champion()
        assert whole is not None
        assert whole.model_id == "first"
        assert at.files.mend()
        assert not at.files.mend()
        assert export.read_bytes() == (at.files.root / "first.json").read_bytes()


async def test_a_foreign_export_stays_for_a_person_to_see(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        (at.files.root / EXPORT).write_bytes(b"hello")
        assert not at.files.mend()
        with pytest.raises(ModelError, match="not the champion's file"):
            at.files.champion()


async def test_the_book_is_begun_with_the_champion_in_use(tmp_path: Path) -> None:
    async with throne(tmp_path, ()) as at:
        at.files.promote(saved(at.files, "old"))
        assert await at.registry.reconcile("main") == "old"
        assert await at.registry.reconcile("main") is None
        listed = await at.registry.list()

    assert [r.reason for r in listed.models[0].reigns] == ["it was in use when the book was begun"]


async def test_a_book_that_agrees_is_not_compared_again_until_the_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with throne(tmp_path) as at:
        await at.registry.reconcile("main")
        looked: list[str] = []
        mend = ModelFiles.mend

        def watched(files: ModelFiles) -> bool:
            looked.append("mend")
            return mend(files)

        monkeypatch.setattr(ModelFiles, "mend", watched)
        for _ in range(3):
            await at.registry.reconcile("main")
        assert looked == []
        at.files.promote(saved(at.files, "second"))
        assert await at.registry.reconcile("main") == "second"
        assert looked == ["mend"]


async def test_a_damaged_pointer_is_no_champion_and_the_list_still_comes(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        (at.files.root / "champion.json").write_bytes(b"{")
        listed = await at.registry.list()
        assert await at.registry.reconcile("main") is None

    assert listed.champion is None
    assert listed.models[0].state == "former champion"


async def test_a_manifest_of_an_older_version_has_no_comparison(tmp_path: Path) -> None:
    async with throne(tmp_path) as at:
        saved(at.files, "odd")
        path = at.files.root / "odd.manifest.json"
        content = json.loads(path.read_bytes())
        content["metrics"]["challenge"] = {"unknown": 1}
        path.write_text(json.dumps(content))
        assert (await at.registry.list()).find("odd").comparison is None
        card = (await at.takeovers.ask("odd", replace(OLE))).approval_id
        view = await at.approvals.view(card)

    assert view is not None
    assert "It was compared with no other model at its training, never with first." in view.lines
