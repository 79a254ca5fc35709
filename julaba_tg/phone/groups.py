"""Groups on the phone: who is in one, what the bot may do there, and its topics when it is a forum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

GENERAL = 1  # the topic that every forum has; what is written there names no thread
ADMIN_RIGHTS = frozenset({"can_delete_messages", "can_pin_messages", "can_manage_topics"})
_NO_RIGHTS = dict.fromkeys(
    (
        "can_be_edited",
        "is_anonymous",
        "can_manage_chat",
        "can_delete_messages",
        "can_manage_video_chats",
        "can_restrict_members",
        "can_promote_members",
        "can_change_info",
        "can_invite_users",
        "can_post_stories",
        "can_edit_stories",
        "can_delete_stories",
        "can_pin_messages",
        "can_manage_topics",
    ),
    False,
)
_PERMISSIONS = dict.fromkeys(
    (
        "can_send_messages",
        "can_send_audios",
        "can_send_documents",
        "can_send_photos",
        "can_send_videos",
        "can_send_video_notes",
        "can_send_voice_notes",
        "can_send_polls",
        "can_send_other_messages",
        "can_add_web_page_previews",
        "can_change_info",
        "can_invite_users",
        "can_pin_messages",
        "can_manage_topics",
    ),
    False,
)
IN_IT = frozenset({"creator", "administrator", "member", "restricted"})


@dataclass(slots=True)
class Topic:
    """``thread_id`` is the id of the service message that made it, as at Telegram."""

    thread_id: int
    name: str
    closed: bool = False


@dataclass(slots=True)
class Group:
    """A supergroup. ``members`` holds each user's status, the bot's too; ``rights`` are the bot's.

    An administrator bot may what its rights say; a restricted one may send only what they say (can_send_messages,
    can_send_photos, can_send_documents). A plain member hears only commands and replies to it (privacy mode).
    """

    chat_id: int
    title: str
    members: dict[int, str]
    is_forum: bool = False
    rights: frozenset[str] = frozenset()
    topics: dict[int, Topic] = field(default_factory=dict)
    migrated_to: int | None = None

    def chat(self) -> dict[str, Any]:
        kind = "group" if self.migrated_to else "supergroup"
        found: dict[str, Any] = {"id": self.chat_id, "type": kind, "title": self.title}
        return {**found, "is_forum": True} if self.is_forum else found

    def status(self, user_id: int) -> str:
        return self.members.get(user_id, "left")

    def has(self, user_id: int) -> bool:
        return self.status(user_id) in IN_IT

    def is_admin(self, user_id: int) -> bool:
        return self.status(user_id) in {"creator", "administrator"}

    def topic(self, name: str) -> int:
        """The thread of the topic of that name. Raises LookupError."""
        for topic in self.topics.values():
            if topic.name == name:
                return topic.thread_id
        raise LookupError(f"no topic {name!r} among {[t.name for t in self.topics.values()]}")

    def member(self, user: dict[str, Any], is_the_bot: bool) -> dict[str, Any]:
        """A ChatMember as the Bot API writes it."""
        status = self.status(int(user["id"]))
        found: dict[str, Any] = {"status": status, "user": user}
        rights = dict.fromkeys(self.rights if is_the_bot else ADMIN_RIGHTS, True)
        match status:
            case "creator":
                return {**found, "is_anonymous": False}
            case "administrator":
                return {**found, **_NO_RIGHTS, "can_manage_chat": True, **rights}
            case "restricted":
                return {**found, "is_member": True, "until_date": 0, **_PERMISSIONS, **(rights if is_the_bot else {})}
            case "kicked":
                return {**found, "until_date": 0}
            case _:
                return found
