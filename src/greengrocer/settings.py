"""Every setting of the service, declared once: its name, type, default and meaning.

A flag goes over the environment (``GREENGROCER_...``), the environment over ``--config FILE``.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from greengrocer.errors import UsageError
from greengrocer.plain_files import SETTINGS_BYTES, read_plain
from greengrocer.spelling import meant, shown

PREFIX = "GREENGROCER_"
MEGA = 1_000_000
RENAMED = {"megapixels_in_flight": "decode_megabytes, the memory of the pictures being decoded"}
RATE = r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$"
# Kubernetes tells each pod of each Service in its namespace by variables that begin with the
# Service's name: those of one called greengrocer, or greengrocer-metrics, begin with our prefix.
SERVICE_LINK = re.compile(
    r".*_(service_host|service_port(_.+)?|port_\d+_(tcp|udp|sctp)(_(proto|port|addr))?)", re.DOTALL
)
SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def _split(value: object) -> object:
    """A flag and an environment variable are one text, with commas."""
    if isinstance(value, str):
        return [each.strip() for each in value.split(",") if each.strip()]
    return value


def _network(text: str) -> str:
    return str(ip_network(text))


class _File(TomlConfigSettingsSource):
    """The file that ``--config`` names, if it is a plain one and no endless one."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        read = tomllib.loads(read_plain(Path(str(file_path)), SETTINGS_BYTES).decode())
        for name, value in read.items():
            field = Settings.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                raise UsageError(  # pydantic would take true for 1
                    f"configuration file {file_path}: {name} is {str(value).lower()}, a boolean"
                )
        return read


Each = TypeVar("Each")
Listed = Annotated[tuple[Each, ...], NoDecode, BeforeValidator(_split)]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/?#@\s]+)$")]


class Settings(BaseSettings):
    """What ``greengrocer serve`` can be told. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, allow_inf_nan=False
    )

    bundle: str = Field("grocery", description="a shipped bundle's name, or a bundle's directory")
    data: Path | None = Field(
        None, description="data set whose validation pictures /random-image shows"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free one")
    engine: Literal["onnx", "torch", "fake"] = Field(
        "onnx", description="what runs the model; fake: for tests"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the engine runs")
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="HTTP processes over one engine process; default: one in all",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="pictures worked on at once; default: one a processor (or a group of "
        "ORT_INTRA_OP_NUM_THREADS of them), and more where they wait for a batch",
    )
    max_batch: int | None = Field(
        None,
        ge=1,
        le=256,
        description="most pictures that the engine works on together; default: 1 on the CPU, "
        "32 on a GPU",
    )
    batch_wait: float = Field(
        0, ge=0, le=1, description="longest wait for a batch to fill while the engine is idle"
    )
    max_megabytes: float = Field(20, gt=0, le=1000, description="largest picture, megabytes")
    max_megapixels: float = Field(120, gt=0, le=150, description="largest picture, megapixels")
    max_request_pictures: int = Field(
        1000, ge=1, le=100_000, description="most pictures in one request that may have many"
    )
    max_request_megabytes: float = Field(
        500, gt=0, description="largest request that may have many pictures, megabytes"
    )
    megabytes_in_flight: float | None = Field(
        None,
        gt=0,
        description="uploads, and answers that are not taken yet, held at once, megabytes; shared "
        "out among the workers; default: 256, or 32 for each thread, at most a tenth of the memory",
    )
    decode_megabytes: float | None = Field(
        None,
        gt=0,
        description="memory of the pictures being decoded, megabytes, and the most that one may "
        "take; default: 2000, or 128 for each thread, at most 60 % of the memory",
    )
    max_wait: float = Field(3, gt=0, description="longest expected wait before a 429")
    deadline: float = Field(10, gt=0, le=3600, description="from upload to answer, then a 504")
    decode_seconds: float = Field(
        4,
        gt=0,
        description="processor time that decoding one picture may take; unless it is set, at most "
        "half of the deadline",
    )
    upload_grace: float = Field(
        10, gt=0, description="longest time for which an upload may stand still"
    )
    upload_rate: float = Field(
        8192, gt=0, description="bytes of an upload that give back a second of its grace"
    )
    head_seconds: float = Field(10, gt=0, description="time for a request's headers to come")
    send_seconds: float = Field(
        30, gt=0, description="how long an answer may wait without any of it being taken"
    )
    keep_alive: float = Field(15, gt=0, description="how long an idle connection is kept")
    drain_delay: float = Field(
        5, ge=0, description="how long pictures are still taken after SIGTERM, while not ready"
    )
    drain: float = Field(30, gt=0, description="longest time to finish requests when stopping")
    control: Path | None = Field(
        None, description="socket for reload, in a private directory; default: by user and port"
    )
    api_keys: Path | None = Field(
        None, description="file of the keys that requests must have, one of them each"
    )
    rate_limit_per_key: str | None = Field(
        None, pattern=RATE, description="requests that a key may make, as 600/minute"
    )
    rate_limit_per_address: str | None = Field(
        None, pattern=RATE, description="requests that may come from an address, as 100/minute"
    )
    trusted_proxies: Listed[Network] = Field(
        (), description="addresses and networks of proxies whose X-Forwarded-For is believed"
    )
    cors_origins: Listed[Origin] = Field(
        (), description="sites whose scripts may ask, as https://shop.example; *: all"
    )
    metrics_host: str | None = Field(
        None, description="address of the metrics' own port; default: host"
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port of its own for /metrics, which then is nowhere else; 0: any free one",
    )
    access_log: bool = Field(True, description="log a line for every request")
    log_addresses: bool = Field(True, description="log the address from which a request came")
    log_format: Literal["text", "json"] = Field("text", description="how log lines look")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least important lines to log"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file that ``read_settings`` names."""
        del dotenv_settings, file_secret_settings
        assert isinstance(env_settings, EnvSettingsSource)
        env_settings.env_vars = {
            name: value
            for name, value in env_settings.env_vars.items()
            if not is_service_link(name, value or "")
        }
        file = _File(settings_cls)
        return init_settings, env_settings, file


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes has set the variable, to tell of a Service; case counts nothing.

    ``NAME_PORT`` may be a setting, too: there the value tells.
    """
    name = name.lower()
    address = name.endswith("_port") and SERVICE_ADDRESS.match(value)
    return bool(address or SERVICE_LINK.fullmatch(name))


def check_environment(environment: Mapping[str, str]) -> None:
    """Raise UsageError, in one line, for a variable that has our prefix and is no setting."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name, value in sorted(environment.items()):
        spelt = name.upper()  # as for a setting's value: case counts nothing
        if spelt.startswith(PREFIX) and spelt not in known and not is_service_link(name, value):
            raise UsageError(
                f"the environment has {shown(name)}, which is no setting{meant(spelt, known)}"
            )


def overlaid(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """Variables of a Service's that have a setting's name, and whose setting nobody else gave.

    They take the place of what an image sets, so that the default counts.
    """
    names = {
        PREFIX + name.upper() for name in Settings.model_fields.keys() - settings.model_fields_set
    }
    return sorted(
        name
        for name, value in environment.items()
        if name.upper() in names and is_service_link(name, value)
    )


def read_settings(flags: dict[str, object], config: Path | None = None) -> Settings:
    """The settings from ``flags``, the environment and the TOML file ``config``.

    Raises UsageError, in one line, for what is unknown, malformed or out of range.
    """
    for name in [*flags, *(name for name in RENAMED if PREFIX + name.upper() in os.environ)]:
        _refuse_renamed(name)
    check_environment(os.environ)

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        if config is not None and not config.is_file():
            wrong = "is no plain file" if config.exists() else "is not there"
            raise UsageError(f"the configuration file {config} {wrong}")
        settings = FromFile(**flags)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        _refuse_renamed(name)
        if first["type"] == "extra_forbidden":
            where = "" if config is None or name in flags else f"configuration file {config}: "
            raise UsageError(
                f"{where}there is no setting {shown(name)}{meant(name, Settings.model_fields)}"
            ) from error
        raise UsageError(
            f"setting {name} (--{name.replace('_', '-')}, {PREFIX}{name.upper()}): "
            f"{first['msg'].lower()}, got {first['input']!r}"
        ) from error
    except OSError as error:
        raise UsageError(f"configuration file {config}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"configuration file {config} is not TOML: {error}") from error
    _check_texts(settings)
    _check_together(settings)
    return settings


def _refuse_renamed(name: str) -> None:
    if name in RENAMED:
        raise UsageError(f"setting {name} is no more: set {RENAMED[name]}")


def _check_texts(settings: Settings) -> None:
    for name, value in settings:
        if "\0" in str(value):  # nothing that is named to the system can have one
            raise UsageError(f"setting {name}: there is a NUL in {str(value)!r}")


def _check_together(settings: Settings) -> None:
    if "decode_seconds" in settings.model_fields_set and settings.decode_seconds > (
        settings.deadline / 2
    ):
        raise UsageError(
            f"decode_seconds ({settings.decode_seconds:g}) must be well below the deadline: "
            f"at most half of its {settings.deadline:g} seconds"
        )
    if settings.rate_limit_per_key and not settings.api_keys:
        raise UsageError("rate_limit_per_key needs api_keys: without them no request has a key")
    if settings.metrics_host and settings.metrics_port is None:
        raise UsageError("metrics_host needs metrics_port: the metrics' own")
    if settings.metrics_port and settings.metrics_port == settings.port:
        raise UsageError("metrics_port must be another than port")
    if settings.megabytes_in_flight is None:
        return
    workers = settings.workers or 1
    if settings.max_megabytes > settings.megabytes_in_flight / workers:
        each = f" for each of {workers} workers" if settings.workers else ""
        raise UsageError(
            f"megabytes_in_flight must be at least max_megabytes{each}, or no such picture gets in"
        )
