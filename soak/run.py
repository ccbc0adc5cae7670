"""One soak of one running service: everything at once, and then the books are closed."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from soak.clients import Clients
from soak.kinds import kinds
from soak.ledger import Account, Ledger
from soak.reconcile import differences, scrape
from soak.service import Service
from soak.troubles import Troubles
from soak.watch import LEAST, Trend, Watch, growths, trends

CLIENTS = 16
SEED = 1
PATIENCE = 300.0  # seconds


@dataclass
class Result:
    """What a soak has found."""

    arrangement: str
    seconds: float
    account: Account
    kills: dict[str, int]  # by role
    reloads: dict[str, int]  # by their results
    trends: dict[str, Trend]
    complaints: list[str] = field(default_factory=list)


async def soak(
    service: Service,
    seconds: float,
    pictures: Sequence[bytes],
    bundles: Sequence[str],
    ticked: Callable[[], object],
) -> Result:
    """Send for so many seconds, with troubles meanwhile, and account for all of it.

    On a machine that is slow to replace what was killed it takes longer, or there is no trend.
    """
    ledger = Ledger()
    before = await scrape(service.port)
    clients = Clients(service.port, kinds(pictures, bundles), ledger, CLIENTS, SEED)
    troubles = Troubles(service, ledger, bundles)
    watch = Watch(service.pids, lambda: troubles.settled, ticked)
    started = time.monotonic()

    def over() -> bool:
        late = time.monotonic() - started - seconds
        return late > 0 and (len(watch.samples) >= LEAST or late > PATIENCE)

    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(watch.run()), group.create_task(troubles.run())]
        await clients.run(over)
        for task in beside:
            task.cancel()
    account = ledger.settle()
    found = trends(watch.samples)
    reloads = dict(troubles.reloads)
    return Result(
        arrangement=f"--workers {service.workers}" if service.workers else "one process",
        seconds=time.monotonic() - started,
        account=account,
        kills={role: sum(k.role == role for k in ledger.kills) for role in ("engine", "http")},
        reloads=reloads,
        trends=found,
        complaints=[
            *account.complaints,
            *troubles.complaints,
            *await differences(service.port, before, ledger, reloads),
            *growths(found),
        ],
    )
