"""One soak of one running service: mixed load, then a check of every outcome."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from soak.clients import Clients
from soak.kinds import Kind, kinds
from soak.ledger import Account, Ledger
from soak.memory import Figures
from soak.reconcile import differences, scrape
from soak.refused import endless_pictures, refusals
from soak.service import IN_FLIGHT, Service
from soak.troubles import Troubles
from soak.watch import LEAST, Trend, Watch, growths, trends

CLIENTS = 16
SEED = 1
PATIENCE = 300.0  # seconds
ALONE = 60  # refused images that come one after the other, with nothing else beside them
IDLE_SECONDS = 5.0  # after the last request, before memory is at rest


@dataclass
class Result:
    """The result of a soak."""

    arrangement: str
    seconds: float
    account: Account
    kills: dict[str, int]  # by role
    reloads: dict[str, int]  # by their results
    trends: dict[str, Trend]
    memory: Figures
    complaints: list[str] = field(default_factory=list)


async def soak(
    service: Service,
    seconds: float,
    images: Sequence[bytes],
    bundles: Sequence[str],
    ticked: Callable[[], object],
) -> Result:
    """Send for so many seconds, with reloads and kills meanwhile, and account for every request.

    On a machine that is slow to replace what was killed it takes longer, or there is no trend.
    """
    ledger = Ledger()
    before = await scrape(service.port)
    endless = endless_pictures()
    sent = [*kinds(images, bundles), *refusals(images, bundles), *endless]
    clients = Clients(service.port, sent, ledger, CLIENTS, SEED)
    troubles = Troubles(service, ledger, bundles)
    watch = Watch(service.pids, lambda: troubles.settled, ticked)
    started = time.monotonic()

    def over() -> bool:
        late = time.monotonic() - started - seconds
        return late > 0 and (len(watch.samples) >= LEAST or late > PATIENCE)

    async with asyncio.TaskGroup() as group:
        watching, troubling = group.create_task(watch.run()), group.create_task(troubles.run())
        await clients.run(over)
        found = trends(watch.samples)
        troubling.cancel()
        await asyncio.wait([troubling])
        await _refusals_alone(service.port, endless, ledger)
        watching.cancel()
    account = ledger.settle()
    reloads = dict(troubles.reloads)
    differing = await differences(service.port, before, ledger, reloads)
    await asyncio.sleep(IDLE_SECONDS)
    memory = watch.memory.at_rest()
    return Result(
        arrangement=f"--workers {service.workers}" if service.workers else "one process",
        seconds=time.monotonic() - started,
        account=account,
        kills={role: sum(k.role == role for k in ledger.kills) for role in ("engine", "http")},
        reloads=reloads,
        trends=found,
        memory=memory,
        complaints=[
            *account.complaints,
            *troubles.complaints,
            *differing,
            *growths(found),
            *memory.complaints(IN_FLIGHT),
        ],
    )


async def _refusals_alone(port: int, endless: Sequence[Kind], ledger: Ledger) -> None:
    """Send refused images one by one: under load Python's collector would hide a leak."""
    until = ledger.sent.total() + ALONE
    alone = Clients(port, endless, ledger, 1, SEED)
    await alone.run(lambda: ledger.sent.total() >= until)
