"""The outcome of every request: each has one entry, and each entry one outcome."""

import time
from collections import Counter
from dataclasses import dataclass, field

from soak.kinds import Kind

CUT = "cut"  # the connection ended without a whole answer
UNANSWERED = "unanswered"  # no answer came before the end of the run

# What a killed process of this role may do to a request: a probe gets 503, and so does an image
# whose deadline ends before there is another engine.
BY_KILL = {"http": frozenset({CUT}), "engine": frozenset({"503", "503 not-ready"})}


@dataclass(eq=False)
class Kill:
    """A process that we killed. Times are monotonic seconds."""

    role: str
    at: float
    in_flight: int  # connections at that moment
    until: float = float("inf")  # when another process had replaced it
    cut: int = 0  # requests whose outcome this explains


@dataclass(eq=False)
class Entry:
    """A request on a connection that was ``opened`` then."""

    kind: Kind
    opened: float
    outcome: str = ""
    closed: float = float("inf")


@dataclass
class Ledger:
    """All requests. Expected outcomes are counted; unexpected ones are kept one by one."""

    sent: Counter[Kind] = field(default_factory=Counter)
    expected: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    odd: list[Entry] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    connections: int = 0  # open now
    _open: set[Entry] = field(default_factory=set)

    def begin(self, kind: Kind, opened: float) -> Entry:
        """A request is about to be sent."""
        entry = Entry(kind, opened)
        self.sent[kind] += 1
        self._open.add(entry)
        return entry

    def end(self, entry: Entry, outcome: str) -> None:
        """Record the outcome of a request; raises KeyError if it has one already."""
        self._open.remove(entry)
        entry.outcome, entry.closed = outcome, time.monotonic()
        if outcome in entry.kind.outcomes:
            self.expected[entry.kind, outcome] += 1
        else:
            self.odd.append(entry)

    def kill(self, role: str) -> Kill:
        """A process of this role is about to be killed."""
        kill = Kill(role, time.monotonic(), self.connections)
        self.kills.append(kill)
        return kill

    def settle(self) -> "Account":
        """Count open requests as unanswered, and explain unexpected outcomes by kills."""
        for entry in list(self._open):
            self.end(entry, UNANSWERED)
        account = Account(Counter(self.expected))
        for entry in self.odd:
            kill = self._cause(entry)
            if kill is None:
                account.unexplained[entry.kind, entry.outcome] += 1
            else:
                kill.cut += entry.outcome == CUT
                account.by_kills[entry.kind, entry.outcome] += 1
        account.complaints = self._complaints(account)
        return account

    def _cause(self, entry: Entry) -> Kill | None:
        for kill in self.kills:
            overlaps = entry.opened <= kill.until and kill.at <= entry.closed
            if overlaps and entry.outcome in BY_KILL[kill.role]:
                return kill
        return None

    def _complaints(self, account: "Account") -> list[str]:
        found = [
            f"{count} x {kind.name}: {outcome}, unexplained"
            for (kind, outcome), count in account.unexplained.items()
        ]
        found += [
            f"a kill has cut {kill.cut} requests, and {kill.in_flight} connections were open"
            for kill in self.kills
            if kill.cut > kill.in_flight
        ]
        if account.total != self.sent.total():
            found.append(f"{self.sent.total()} were sent, and {account.total} are accounted for")
        return found


@dataclass
class Account:
    """How many requests of each kind had which outcome, and what is wrong with that."""

    expected: Counter[tuple[Kind, str]]
    by_kills: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    unexplained: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Requests that have an outcome."""
        return sum(part.total() for part in (self.expected, self.by_kills, self.unexplained))
