"""Commands that were taken from READY and cannot be admitted before one of their tags is free.

Those behind them go on: a full tag blocks nobody but who needs it. They stay in READY, unacknowledged, so that another
orchestrator gets them when this one is gone."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from nats.aio.msg import Msg

from codestory.contracts.values import Priority


@dataclass(frozen=True)
class HeldCommand:
    msg: Msg
    priority: Priority
    step: str
    job: str
    tags: frozenset[str]

    @property
    def sequence(self) -> int:
        """In READY: the order in which they came."""
        return self.msg.metadata.sequence.stream


@dataclass
class _Line:
    """Those of one priority, the oldest first."""

    commands: dict[int, HeldCommand] = field(default_factory=dict[int, HeldCommand])
    tags: Counter[str] = field(default_factory=Counter[str])


class HeldBack:
    def __init__(self, ack_wait_seconds: float) -> None:
        self._lines = {priority: _Line() for priority in Priority}
        self._ack_wait = ack_wait_seconds
        self._kept_until = 0.0

    def __len__(self) -> int:
        return sum(len(line.commands) for line in self._lines.values())

    def add(self, command: HeldCommand) -> None:
        """One that was delivered again replaces the delivery before."""
        line, sequence = self._lines[command.priority], command.sequence
        late = sequence not in line.commands and bool(line.commands) and sequence < next(reversed(line.commands))
        if sequence not in line.commands:
            line.tags.update(command.tags)
        line.commands[sequence] = command
        if late:
            line.commands = dict(sorted(line.commands.items()))

    def drop(self, command: HeldCommand) -> None:
        line = self._lines[command.priority]
        if line.commands.pop(command.sequence, None):
            line.tags.subtract(command.tags)

    def of(self, priority: Priority) -> list[HeldCommand]:
        """The oldest first."""
        return list(self._lines[priority].commands.values())

    def wanted(self, priority: Priority) -> set[str]:
        """The tags for which one of this priority waits, or which it keeps for itself while it waits for another."""
        return {tag for tag, count in self._lines[priority].tags.items() if count > 0}

    async def keep(self) -> None:
        """Or the server would give them out again."""
        clock = asyncio.get_running_loop().time()
        if clock >= self._kept_until:
            self._kept_until = clock + self._ack_wait / 3
            for command in list(self._all()):
                await command.msg.in_progress()

    async def give_back(self) -> None:
        """To whoever asks next, in the order in which they came."""
        commands = list(self._all())
        self._lines = {priority: _Line() for priority in Priority}
        for command in commands:
            await command.msg.nak()

    def _all(self) -> Iterator[HeldCommand]:
        for line in self._lines.values():
            yield from line.commands.values()
