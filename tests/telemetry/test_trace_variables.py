"""A variable of OpenTelemetry's that it would ignore is refused, and no secret is shown."""

from pathlib import Path

import pytest

from greengrocer.errors import UsageError
from greengrocer.telemetry.trace_variables import RULES, check_trace_variables

ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
OWN_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
CERTIFICATE = "OTEL_EXPORTER_OTLP_CERTIFICATE"
SAMPLER, SHARE = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
DELAY, TIMEOUT = "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_TIMEOUT"

GOOD = [
    {SAMPLER: "ParentBased_TraceIdRatio", SHARE: "0.01"},
    {SHARE: "0"},
    {DELAY: " 50 ", TIMEOUT: "0.5", SAMPLER: "", HEADERS: ""},
    {ENDPOINT: "HTTPS://collector.example:4318/otlp"},
    {ENDPOINT: "collector:4317", OWN_ENDPOINT: "http://127.0.0.1:4318/v1/traces"},
    {HEADERS: "api-key=abc==, Authorization = Bearer%20abc,shop=caf%C3%A9,plain=two words,none=,"},
    {CERTIFICATE: __file__},
]
WRONG = [
    ("OTEL_TRACES_EXPORTER", "console", "must be otlp, not 'console'"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "must be http/protobuf, not 'grpc'"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "must be none or gzip or deflate, not 'zip'"),
    (SAMPLER, "nonsense", "or parentbased_traceidratio, not 'nonsense'"),
    *((SHARE, wrong, "must be a number from 0 to 1, not ") for wrong in ("7", "-1", "x", "nan")),
    *((DELAY, wrong, "must be a whole number of at least 1, not ") for wrong in ("x", "0", "1.5")),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "must be a whole number of at least 1, not '0'"),
    *((TIMEOUT, wrong, "must be a number of seconds above 0, not ") for wrong in ("0", "inf")),
    (CERTIFICATE, "/nope", "must be the path of a file, not '/nope'"),
    *(
        (variable, wrong, "must be an address with http:// or https://")
        for variable in (ENDPOINT, OWN_ENDPOINT)
        for wrong in ("7secret@host:4318", "//7secret", "grpc://7secret", "http://")
    ),
    *(
        (variable, wrong, "must be pairs name=value")
        for variable in (HEADERS, "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
        for wrong in ("7secret", "k=a,7secret", "k=7secret;", "k=7secret%0a", 'k="7secret"', "k=é")
    ),
    (HEADERS, "k=%E2%82%AC7secret", "must be pairs name=value"),  # HTTP has no euro sign
]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for general in RULES:
        for name in (general, general.replace("_OTLP_", "_OTLP_TRACES_")):
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variables", GOOD)
def test_a_value_that_opentelemetry_understands_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    check_trace_variables()


@pytest.mark.parametrize(("variable", "value", "told"), WRONG)
def test_a_value_that_it_would_ignore_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as refused:
        check_trace_variables()
    said = str(refused.value)
    assert said.startswith(f"{variable} must be ")
    assert told in said
    assert "secret" not in said
    assert said.isprintable()


def test_the_guide_names_no_variable_without_a_rule() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "traces.md"
    table = [line.split("`")[1] for line in guide.read_text().splitlines() if "| `OTEL_" in line]
    named = {line for line in table if line.startswith("OTEL_")}
    free_text = {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"}
    assert named
    assert named - free_text <= set(RULES)
