"""What people do in a soak: commands, cards answered and one that nobody answers. Each acts while time stands still."""

from __future__ import annotations

from julaba_tg.phone.chats import Message
from tests.soak.month import Act, Month, Script
from tests.soak.world import ALERTED, SPEAKER, World


def says(text: str) -> Act:
    async def act(month: Month) -> None:
        await month.say(SPEAKER, text)

    return act


def promotes() -> Act:
    """Asks for a model that never was champion; where there is none, nothing."""

    async def act(month: Month) -> None:
        found = challengers(month.world)
        if found:
            await month.say(SPEAKER, f"/promote {found[0]}")

    return act


def answers(yes: bool) -> Act:
    """The oldest open card's button is pressed; where there is none, nothing.

    Pressed in the speaker's own chat, which a client can do, so that what the bot may say to it is not among alerts.
    """

    async def act(month: Month) -> None:
        at = month.world
        waiting = at.rows("SELECT min(approval_id) FROM approvals WHERE state = 'pending'")[0][0]
        if waiting is None:
            return
        data = f"{'yes' if yes else 'no'}:{waiting}"
        await at.until(lambda: card(at, data) is not None, f"the card {data}")
        mine = at.phone.messages(SPEAKER)[-1].message_id
        await month.dealt_with(at.phone.tap(SPEAKER, mine, data)["update_id"])

    return act


def card(at: World, data: str) -> Message | None:
    found = [m for m in at.phone.messages(ALERTED) if any(b.callback_data == data for b in m.buttons)]
    return found[-1] if found else None


def challengers(at: World) -> list[str]:
    """The models that never were champion, sorted."""
    reigned = {row[0] for row in at.rows("SELECT model_id FROM champions")}
    folder = at.folder / "data" / "models"
    return sorted({p.name.split(".")[0] for p in folder.glob("xgb-*")} - reigned)


SHORT = Script(
    (
        (0.15, says("/status")),
        (0.25, says("/pause")),
        (0.40, says("/resume")),
        (0.50, says("/pair SOL off")),
        (0.55, says("/size LINK 0.5")),
        (0.60, says("/ml 0.25")),
        (0.65, says("/notify signal none")),
        (0.75, says("/pair SOL on")),
    )
)
"""Without long work: for a stretch of a day."""

SCRIPT = Script(
    (
        (0.05, says("/status")),
        (0.08, says("/pause")),
        (0.12, says("/resume")),
        (0.15, says("/pair SOL off")),
        (0.22, says("/ml 0.25")),
        (0.25, says("/pair SOL on")),
        (0.30, says("/opens")),
        (0.34, answers(yes=True)),
        (0.40, says("/retrain")),
        (0.46, promotes()),
        (0.50, answers(yes=True)),
        (0.56, promotes()),
        (0.58, answers(yes=False)),
        (0.62, says("/pair ETH off")),
        (0.66, says("/pair ETH on")),
        (0.70, promotes()),  # nobody answers this one
        (0.76, says("/trades")),
        (0.90, says("/pause")),
        (0.93, says("/resume")),
    )
)
