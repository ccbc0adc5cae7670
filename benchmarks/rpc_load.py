"""The closed-loop load of ``load.py`` over gRPC: messages are made before, answers not read."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from benchmarks.load import Outcome

PATH = "/inference.GRPCInferenceService/ModelInfer"


def run_rpc_load(port: int, messages: Sequence[bytes], clients: int, seconds: float) -> Outcome:
    """Send ``messages`` from ``clients`` connections for ``seconds``.

    A call that fails is an error. What is in flight at the end is waited for and counted.
    """
    return asyncio.run(_load(port, messages, clients, seconds))


async def _load(port: int, messages: Sequence[bytes], clients: int, seconds: float) -> Outcome:
    outcome = Outcome(0.0)
    started, processor = time.perf_counter(), time.process_time()
    mine = [itertools.cycle([*messages[at:], *messages[:at]]) for at in range(clients)]
    await asyncio.gather(*(_client(port, each, started + seconds, outcome) for each in mine))
    outcome.seconds = time.perf_counter() - started
    outcome.generator_seconds = time.process_time() - processor
    return outcome


async def _client(port: int, messages: Iterator[bytes], until: float, outcome: Outcome) -> None:
    own = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", own) as channel:
        ask: Any = channel.unary_unary(PATH)
        while (sent := time.perf_counter()) < until:
            try:
                await ask(next(messages))
            except grpc.aio.AioRpcError:
                outcome.errors += 1
            else:
                outcome.latencies.append(time.perf_counter() - sent)
