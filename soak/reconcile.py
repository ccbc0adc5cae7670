"""Compares the ledger with the service's own metrics: both must count the same requests."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from soak.clients import outcome_of
from soak.kinds import LEFT, Manner
from soak.ledger import Ledger
from soak.wire import Wire

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
OWN_ROUTE = "/metrics"  # each scrape changes its count
SETTLE_SECONDS = 20.0  # for abandoned requests to end
POLL_SECONDS = 0.1

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(port: int) -> Samples:
    """Every sample of Greengrocer's, by its name and labels."""
    async with await Wire.to(port) as wire:
        await wire.send(SCRAPE)
        answer = await wire.answer()
    if answer.status != 200:
        raise RuntimeError(f"the metrics are answered {outcome_of(answer)}")
    families = text_string_to_metric_families(answer.body.decode())
    return {
        (sample.name.removeprefix("greengrocer_"), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


async def differences(
    port: int, before: Samples, ledger: Ledger, reloads: Mapping[str, int]
) -> list[str]:
    """Differences between the metrics and the ledger, once the service is idle."""
    until = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        found = compare(before, await scrape(port), ledger, reloads)
        if not found or asyncio.get_running_loop().time() > until:
            return found
        await asyncio.sleep(POLL_SECONDS)


def compare(
    before: Samples, after: Samples, ledger: Ledger, reloads: Mapping[str, int]
) -> list[str]:
    """The differences between two scrapes, of which the first was taken before the ledger."""
    found = [
        f"{name} is {after[name, frozenset()]:g} at rest"
        for name in ("in_flight", "images_in_flight")
        if after[name, frozenset()]
    ]
    for result, count in reloads.items():
        key = "reloads_total", frozenset({("result", result)})
        reported = after.get(key, 0) - before.get(key, 0)
        if reported != count:
            found.append(f"{count} reloads were {result}, the metrics have {reported:g}")
    counted = _by_route(after)
    counted.subtract(_by_route(before))
    refused = _by_reason(after)
    refused.subtract(_by_reason(before))
    return found + _requests(counted, ledger) + _no_requests(refused, ledger)


def _by_route(samples: Samples) -> "Counter[tuple[str, str]]":
    """Requests by route and status."""
    counted: Counter[tuple[str, str]] = Counter()
    for (name, labels), value in samples.items():
        fields = dict(labels)
        if name == "requests_total" and fields["route"] != OWN_ROUTE:
            counted[fields["route"], fields["status"]] += int(value)
    return counted


def _by_reason(samples: Samples) -> "Counter[str]":
    """Refusals by their code."""
    return Counter(
        {
            dict(labels)["reason"]: int(value)
            for (name, labels), value in samples.items()
            if name == "rejections_total"
        }
    )


def _requests(counted: "Counter[tuple[str, str]]", ledger: Ledger) -> list[str]:
    """Differences in requests by route and status.

    A killed process did not count its running requests; no others may be missing. Requests that
    were sent at once are lost together. One that the client abandoned may have any status.
    """
    killed = sum(kill.in_flight for kill in ledger.kills if kill.role == "http")
    lost: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for kind, count in ledger.sent.items():
        if kind.route not in (None, OWN_ROUTE):
            sent[str(kind.route)] += count * kind.times
            lost[str(kind.route)] = max(lost[str(kind.route)], killed * kind.times)
    for kind, count in ledger.sent.items():  # requests after an unread answer may not have begun
        if kind.manner is Manner.NEVER_READS:
            lost[str(kind.route)] += count * (kind.times - 1)
    answered: Counter[tuple[str, str]] = Counter()
    for (kind, outcome), count in ledger.expected.items():
        if kind.route not in (None, OWN_ROUTE) and outcome != LEFT:
            answered[str(kind.route), outcome[:3]] += count * kind.times
    totals: Counter[str] = Counter()
    for (route, _), count in counted.items():
        totals[route] += count
    found = [
        f"{sent[route]} requests were sent to {route}, the metrics have {totals[route]}"
        for route in sent | totals
        if not sent[route] - lost[route] <= totals[route] <= sent[route]
    ]
    return found + [
        f"{count} requests to {route} were answered {status}, "
        f"the metrics have {counted[route, status]}"
        for (route, status), count in answered.items()
        if counted[route, status] < count - lost[route]
    ]


def _no_requests(refused: "Counter[str]", ledger: Ledger) -> list[str]:
    """Differences in bytes that never became a request, by the code of their refusal.

    A killed process may have counted a refusal that it did not send.
    """
    sent: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for kind, count in ledger.sent.items():
        if kind.route is None:
            (outcome,) = kind.outcomes
            code = outcome.partition(" ")[2]
            sent[code] += count
            answered[code] += ledger.expected[kind, outcome]
    return [
        f"{count} heads were refused as {code}, the metrics have {refused[code]}"
        for code, count in answered.items()
        if not count <= refused[code] <= sent[code]
    ]
