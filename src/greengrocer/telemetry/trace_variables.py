"""OpenTelemetry's environment variables: a value that it could not use is refused at the start.

OpenTelemetry itself would go on with its default, as to export every trace, and might log a secret.
"""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from greengrocer.errors import UsageError
from greengrocer.safe_text import MAX_NAME, one_line

# A pair as OpenTelemetry reads it, and what HTTP can send of it once it is decoded.
_HEADER = re.compile(r"[!#$%&'*+.^`|~\w-]+[ \t]*=[ \t]*[ !#-+\--:<-\[\]-~]*", re.ASCII)
_SENDABLE = re.compile(r"[\t -~\xa0-\xff]*")
_ENDPOINT = re.compile(r"https?://[^\s/]", re.IGNORECASE)


class Rule(NamedTuple):
    """What the value of a variable must be; ``holds`` may raise ValueError instead of False."""

    words: str
    holds: Callable[[str], bool]
    secret: bool = False  # it may hold a key or a password, and is not shown


def one_of(*choices: str) -> Rule:
    """The rule that the value is one of these, in any case."""
    return Rule(" or ".join(choices), lambda said: said.lower() in choices)


def are_headers(said: str) -> bool:
    """Whether each of these pairs is a header, as ``api-key=abc,shop=7%25``."""
    pairs = [pair.strip() for pair in said.split(",")]
    return all(
        _HEADER.fullmatch(pair) and _SENDABLE.fullmatch(unquote(pair)) for pair in pairs if pair
    )


COUNT = Rule("a whole number of at least 1", lambda said: int(said) >= 1)
FILE = Rule("the path of a file", lambda said: Path(said).exists())
# Of OTEL_EXPORTER_OTLP_... the variable OTEL_EXPORTER_OTLP_TRACES_... counts, where it is set.
RULES = {
    "OTEL_TRACES_EXPORTER": one_of("otlp"),
    "OTEL_TRACES_SAMPLER": one_of(
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ),
    "OTEL_TRACES_SAMPLER_ARG": Rule("a number from 0 to 1", lambda said: 0 <= float(said) <= 1),
    "OTEL_BSP_SCHEDULE_DELAY": COUNT,
    "OTEL_BSP_EXPORT_TIMEOUT": COUNT,
    "OTEL_BSP_MAX_QUEUE_SIZE": COUNT,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": COUNT,
    "OTEL_EXPORTER_OTLP_PROTOCOL": one_of("http/protobuf"),
    "OTEL_EXPORTER_OTLP_COMPRESSION": one_of("none", "gzip", "deflate"),
    "OTEL_EXPORTER_OTLP_TIMEOUT": Rule(
        "a number of seconds above 0", lambda said: 0 < float(said) < math.inf
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT": Rule(
        "an address with http:// or https://, as http://127.0.0.1:4318",
        lambda said: _ENDPOINT.match(said) is not None,
        secret=True,
    ),
    "OTEL_EXPORTER_OTLP_HEADERS": Rule(
        'pairs name=value with commas between them, where a comma, ;, ", \\ and what is not ASCII '
        "are percent-encoded in a value",
        are_headers,
        secret=True,
    ),
    "OTEL_EXPORTER_OTLP_CERTIFICATE": FILE,
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": FILE,
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": FILE,
}


def check_trace_variables() -> None:
    """Raise UsageError, in one line, for the first variable that breaks its rule.

    One that is empty counts as not set.
    """
    for general, rule in RULES.items():
        own = general.replace("_OTLP_", "_OTLP_TRACES_")
        variable = own if os.environ.get(own) else general
        said = os.environ.get(variable, "")
        if said.strip() and not _holds(rule, said):
            shown = "" if rule.secret else f", not {one_line(repr(said), MAX_NAME)}"
            raise UsageError(f"{variable} must be {rule.words}{shown}; or do not set it")


def _holds(rule: Rule, said: str) -> bool:
    try:
        return rule.holds(said)
    except ValueError:
        return False
