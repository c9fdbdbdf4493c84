"""Who gets the same: subscribers by filter and encoding. No I/O, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tapecast.server.filter import Filter
from tapecast.server.interfaces import Outbox

__all__ = ["Group", "Groups"]


@dataclass(slots=True, eq=False)
class Group:
    """The subscribers that share one filter and one encoding, so that both are done once for all.

    Attributes:
        key: What they have in common.
        filter: What the group lets through.
        window_bits: What its messages are compressed with; 0 if they are not.
        joined: The `seq` up to which each member had everything when it joined, by member, in order
            of joining.
    """

    key: object
    filter: Filter
    window_bits: int
    joined: dict[Outbox, int] = field(default_factory=dict)


class Groups:
    """All groups, and who is in which."""

    def __init__(self) -> None:
        self._groups: dict[object, Group] = {}
        self._group_of: dict[Outbox, Group] = {}

    def __len__(self) -> int:
        """Return the number of all members."""
        return len(self._group_of)

    def __contains__(self, outbox: Outbox) -> bool:
        """Return whether a subscriber is a member of any group."""
        return outbox in self._group_of

    @property
    def members(self) -> Iterable[Outbox]:
        """All members."""
        return self._group_of

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self._groups)

    def join(self, outbox: Outbox, chosen: Filter, seq: int) -> None:
        """Add a subscriber that has everything up to a number."""
        key = (chosen.key, outbox.window_bits)
        group = self._groups.setdefault(key, Group(key, chosen, outbox.window_bits))
        group.joined[outbox] = seq
        self._group_of[outbox] = group

    def leave(self, outbox: Outbox) -> bool:
        """Take a subscriber out; return whether it was a member."""
        group = self._group_of.pop(outbox, None)
        if group is None:
            return False
        del group.joined[outbox]
        if not group.joined:
            del self._groups[group.key]
        return True

    def receiving(
        self, receivers: dict[Outbox, None] | None
    ) -> Iterable[tuple[Group, Iterable[Outbox]]]:
        """Return the groups with those of their members who are to receive something.

        Args:
            receivers: Who that is; None for everyone.
        """
        if receivers is None:
            return [(group, group.joined) for group in self._groups.values()]
        members: dict[Group, list[Outbox]] = {}
        for outbox in receivers:
            group = self._group_of.get(outbox)
            if group is not None:
                members.setdefault(group, []).append(outbox)
        return members.items()
