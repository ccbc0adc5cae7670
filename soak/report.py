"""The result of a soak, for people and for programs."""

from dataclasses import asdict
from typing import Any

from soak.run import Result

MEGA = 1e6


def rows(result: Result) -> list[tuple[str, str, int]]:
    """Kind, outcome and number of requests, in the order of the kinds' names."""
    account = result.account
    counts = [
        (kind.name, f"{outcome}{why}", count)
        for part, why in (
            (account.expected, ""),
            (account.by_kills, ", by a kill"),
            (account.unexplained, ", UNEXPLAINED"),
        )
        for (kind, outcome), count in part.items()
    ]
    return sorted(counts)


def page(result: Result) -> str:
    """A table for people."""
    lines = [f"{result.arrangement}: {result.account.total} requests in {result.seconds:.0f} s", ""]
    lines += [f"  {name:<26} {outcome:<34} {count:>8}" for name, outcome, count in rows(result)]
    trends = result.trends
    memory = " -> ".join(f"{value / MEGA:.0f}" for value in trends["memory"])
    counts = "; ".join(
        f"{name} {trends[name].first:.0f} -> {trends[name].last:.0f}"
        for name in ("descriptors", "threads")
    )
    events = [
        *(f"{count} reloads {name}" for name, count in result.reloads.items()),
        *(f"{count} kills of {role}" for role, count in result.kills.items() if count),
    ]
    figures = ", ".join(
        f"{name} {count / MEGA:.0f}" for name, count in asdict(result.memory).items()
    )
    lines += ["", f"  memory {memory} MB; {counts}", f"  resident MB: {figures}"]
    lines.append(f"  {', '.join(events)}")
    lines += [f"  WRONG: {complaint}" for complaint in result.complaints]
    return "\n".join([*lines, ""])


def as_json(result: Result) -> dict[str, Any]:
    """The same as a JSON object."""
    return {
        "arrangement": result.arrangement,
        "seconds": round(result.seconds, 1),
        "requests": result.account.total,
        "rows": [
            {"kind": name, "outcome": outcome, "count": count}
            for name, outcome, count in rows(result)
        ],
        "reloads": result.reloads,
        "kills": result.kills,
        "trends": {name: trend._asdict() for name, trend in result.trends.items()},
        "memory": asdict(result.memory),
        "wrong": result.complaints,
    }
