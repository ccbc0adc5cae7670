"""Every setting of the service, declared once: its name, type, default, meaning and an example.

A name says what it bounds and then its unit: ``..._seconds``, ``..._bytes``, ``..._pixels``.
``read_settings.py`` reads them.
"""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, StringConstraints
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from greengrocer.model_names import NAME
from greengrocer.regular_files import MAX_IMAGE_BYTES

PREFIX = "GREENGROCER_"
ROOT_PATH = r"^((/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)?$"
RATE = r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$"
ORIGIN = r"^(\*|https?://[^/?#@\s]+)$"
SHARE = rf"^{NAME}=([1-9][0-9]?|100)%$"
# Settings that a command line may have several times, once for each of their values.
REPEATED = {"bundle": "bundles", "limit": "limits"}
AMOUNT = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+)\s*([kKMG]i?)?(?:B|px)?\s*")
MAX_DIGITS = 30
TIMES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def _whole(value: object) -> object:
    """The number of ``20MB``, ``20 MiB``, ``120Mpx`` or ``20_000_000``; others as they are."""
    if not isinstance(value, str) or not (found := AMOUNT.fullmatch(value)):
        return value
    number, times = found.groups(default="")
    if len(number) > MAX_DIGITS:
        return value  # which is refused: no whole number has a unit, or so many digits
    return round(float(number.replace("_", "")) * TIMES[times.lower()])


def _split(value: object) -> object:
    """The list in a flag or an environment variable: one text, with commas."""
    if isinstance(value, str):
        return [each.strip() for each in value.split(",") if each.strip()]
    return value


def _network(text: str) -> str:
    return str(ip_network(text))


def _normal(path: Path | None) -> Path | None:
    """The path in full, without ``..`` unless a link before that makes it another place."""
    if path is None or "\0" in str(path):
        return path
    normal = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    try:
        return normal if normal.samefile(path) else path
    except OSError:
        return path


Each = TypeVar("Each")
Listed = Annotated[tuple[Each, ...], NoDecode, BeforeValidator(_split)]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, StringConstraints(pattern=ORIGIN)]
Share = Annotated[str, StringConstraints(pattern=SHARE)]
Source = Annotated[str, StringConstraints(min_length=1)]
Amount = Annotated[int, BeforeValidator(_whole)]


class Settings(BaseSettings):
    """All settings of ``greengrocer serve``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, allow_inf_nan=False, env_ignore_empty=True
    )

    bundles: Listed[Source] = Field(
        ("grocery",),
        min_length=1,
        description="models to serve, the first as the default: the name of a shipped bundle, a "
        "bundle's directory, as runs/shop, or its address, as s3://bucket/shop; perhaps with a "
        "name to serve it under, as shop=runs/shop; repeatable",
    )
    bundle_cache: Path | None = Field(
        None,
        description="folder for bundles that were fetched from an address; default: "
        "greengrocer/bundles in the user's cache folder, as ~/.cache",
    )
    watch: Annotated[Path | None, AfterValidator(_normal)] = Field(
        None,
        description="folder of bundles, as models: each folder in it is served under its own name "
        "once it is whole, again when it changes, and no longer once it is gone",
    )
    limits: Listed[Share] = Field(
        (),
        description="how much of the queue and of the memory of uploads a model may take, so that "
        "others have the rest, as shop=50%; repeatable",
    )
    data: Path | None = Field(
        None,
        description="labelled images whose validation images /random-image shows: the data set, a "
        "folder for each class, a CSV or JSONL that lists images, or a zip, as ~/photos",
    )
    coarse: str | None = Field(
        None,
        description="groups of classes in data: folders, none (the outermost folders are the "
        "classes), places (the outermost are places), or a CSV with the columns class and coarse",
    )
    exclude: Listed[str] = Field(
        (),
        description="files or folders in data that do not count, as *_thumb.jpg,misc/*",
    )
    host: str = Field(
        "127.0.0.1",
        min_length=1,  # the system takes an empty one for all addresses
        description="address to listen on; 0.0.0.0 to be reached from other machines",
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free one")
    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port for gRPC (the Open Inference Protocol), as 8001; 0: any free one; "
        "default: no gRPC; needs the extra grpc",
    )
    engine: str = Field(
        "onnx",
        description="what runs the model: onnx, openvino, auto (the faster of these two, after a "
        "trial), torch (for a GPU), or an engine that another installed package adds",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where the engine runs; auto: on a GPU where it finds one"
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="HTTP processes over one engine process; default: one process does all; "
        "raise it where HTTP or TLS takes a whole core",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="images classified at once; default: one a processor (or a group of "
        "ORT_INTRA_OP_NUM_THREADS of them), and more where they wait for a batch",
    )
    max_batch_size: int | None = Field(
        None,
        ge=1,
        le=256,
        description="most images that the engine classifies together; default: 1 on the CPU, "
        "32 on a GPU",
    )
    batch_wait_seconds: float = Field(
        0,
        ge=0,
        le=1,
        description="longest wait for a batch to fill while the engine is idle; on a GPU, 0.002 "
        "gives larger batches",
    )
    max_image_bytes: Amount = Field(
        20_000_000,
        gt=0,
        le=MAX_IMAGE_BYTES,
        description="largest image file, as 20MB; raise it where clients get 413 too-many-bytes",
    )
    max_image_pixels: Amount = Field(
        120_000_000,
        gt=0,
        le=150_000_000,
        description="largest image, as 120M; lower it where memory is short",
    )
    max_request_images: int = Field(
        1000, ge=1, le=100_000, description="most images in one request that may have many"
    )
    max_request_bytes: Amount = Field(
        500_000_000,
        gt=0,
        description="largest request that may have many images, as 500MB",
    )
    upload_memory_bytes: Amount | None = Field(
        None,
        gt=0,
        description="memory of uploads, and of answers that clients have not read yet, as 256MB; "
        "shared out among the workers; default: 256MB, or 32MB for each thread, at most a tenth of "
        "the machine's memory",
    )
    decode_memory_bytes: Amount | None = Field(
        None,
        gt=0,
        description="memory of the images being decoded, and the most that one may take, as 500MB; "
        "default: 2GB, or 128MB for each thread, at most 60 % of the machine's memory",
    )
    max_queue_seconds: float = Field(
        3,
        gt=0,
        description="longest expected wait in the queue; a request that would wait longer gets 429",
    )
    request_timeout_seconds: float = Field(
        10,
        gt=0,
        le=3600,
        description="time from an uploaded image to its answer, then 504; raise it for slow models",
    )
    decode_timeout_seconds: float = Field(
        4,
        gt=0,
        description="processor time that decoding one image may take; unless it is set, at most "
        "half of request_timeout_seconds",
    )
    upload_grace_seconds: float = Field(
        10, gt=0, description="longest time for which an upload may pause, then 408"
    )
    min_upload_bytes_per_second: float = Field(
        8192,
        gt=0,
        description="pace that an upload must keep after its grace; lower it for slow networks",
    )
    header_timeout_seconds: float = Field(
        10, gt=0, description="time for the headers of a request to come, then 408"
    )
    send_timeout_seconds: float = Field(
        30, gt=0, description="a connection whose client reads nothing for so long is closed"
    )
    keep_alive_timeout_seconds: float = Field(
        15, gt=0, description="an idle connection is closed after; keep it above a load balancer's"
    )
    drain_delay_seconds: float = Field(
        5,
        ge=0,
        description="after SIGTERM, time in which requests are still accepted while /readyz is "
        "503; 0 where no load balancer stands in front",
    )
    drain_timeout_seconds: float = Field(
        30, gt=0, description="longest time to finish requests when stopping"
    )
    control_socket: Path | None = Field(
        None,
        description="socket for greengrocer reload, in a directory of mode 0700; default: by user "
        "and port",
    )
    api_keys: Path | None = Field(
        None, description="file of API keys; a request must have one of them"
    )
    rate_limit_per_key: str | None = Field(
        None, pattern=RATE, description="requests that an API key may make, as 600/minute"
    )
    rate_limit_per_address: str | None = Field(
        None, pattern=RATE, description="requests that may come from an address, as 100/minute"
    )
    trusted_proxies: Listed[Network] = Field(
        (),
        description="addresses and networks of proxies whose X-Forwarded-For and "
        "X-Forwarded-Prefix are trusted, as 10.0.0.0/8",
    )
    root_path: str = Field(
        "",
        pattern=ROOT_PATH,
        max_length=256,
        description="path of a site below which a proxy shows the service, as /shop; requests may "
        "come with it or without it",
    )
    cors_origins: Listed[Origin] = Field(
        (),
        description="sites whose scripts may call the service (CORS), as https://shop.example; "
        "*: all",
    )
    metrics_host: str | None = Field(
        None, description="address that metrics_port listens on; default: host"
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port for /metrics alone, as 9090, which --port then does not answer; 0: any "
        "free one",
    )
    access_log: bool = Field(True, description="log a line for every request")
    log_addresses: bool = Field(True, description="log the addresses of clients")
    traces: bool = Field(
        False,
        description="export a trace of each request by OpenTelemetry, which the extra otel brings; "
        "its variables say where to and how many, as OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    log_format: Literal["text", "json"] = Field("text", description="format of log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe lines to log"
    )

    _old_names: tuple[str, ...] = PrivateAttr(())

    @property
    def old_names(self) -> tuple[str, ...]:
        """The former names of settings that were used: log a warning for each."""
        return self._old_names


def flag_of(name: str) -> str:
    """The flag of the setting ``name``: that of one value, where a setting has several."""
    singular = next((one for one, all_ in REPEATED.items() if all_ == name), name)
    return "--" + singular.replace("_", "-")
