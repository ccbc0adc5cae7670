"""Settings from flags, the environment and a file, with one line for each mistake.

A flag overrides the environment (``GREENGROCER_...``), which overrides ``--config FILE``.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)

from greengrocer.engines.registry import find_engine
from greengrocer.errors import UsageError
from greengrocer.model_names import label_of, name_of, parse_source
from greengrocer.regular_files import MAX_SETTINGS_BYTES, read_regular
from greengrocer.safe_text import MAX_NAME, one_line, without_secrets
from greengrocer.settings import ORIGIN, PREFIX, RATE, REPEATED, ROOT_PATH, SHARE, Settings, flag_of
from greengrocer.stores.address import Address, is_address
from greengrocer.suggestions import did_you_mean

# Former names of settings, each with the current name and, if the unit has changed, the number of
# new units in an old one. They are accepted, with a warning, until 1.0.
RENAMED: Mapping[str, tuple[str, int | None]] = {
    "batch_wait": ("batch_wait_seconds", None),
    "control": ("control_socket", None),
    "deadline": ("request_timeout_seconds", None),
    "decode_megabytes": ("decode_memory_bytes", 1_000_000),
    "decode_seconds": ("decode_timeout_seconds", None),
    "drain": ("drain_timeout_seconds", None),
    "drain_delay": ("drain_delay_seconds", None),
    "head_seconds": ("header_timeout_seconds", None),
    "keep_alive": ("keep_alive_timeout_seconds", None),
    "max_batch": ("max_batch_size", None),
    "max_megabytes": ("max_image_bytes", 1_000_000),
    "max_megapixels": ("max_image_pixels", 1_000_000),
    "max_request_megabytes": ("max_request_bytes", 1_000_000),
    "max_request_pictures": ("max_request_images", None),
    "max_wait": ("max_queue_seconds", None),
    "megabytes_in_flight": ("upload_memory_bytes", 1_000_000),
    "send_seconds": ("send_timeout_seconds", None),
    "upload_grace": ("upload_grace_seconds", None),
    "upload_rate": ("min_upload_bytes_per_second", None),
}
# For each Service in a pod's namespace Kubernetes sets variables, which begin with its name.
# Those of a Service called greengrocer, or greengrocer-metrics, begin with our prefix.
SERVICE_LINK = re.compile(
    r".*_(service_host|service_port(_.+)?|port_\d+_(tcp|udp|sctp)(_(proto|port|addr))?)", re.DOTALL
)
SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def with_current_names(values: MutableMapping[str, Any], where: str) -> list[str]:
    """Rename the keys of ``values`` that are in RENAMED; returns the old names.

    The name of one value, as ``bundle``, becomes that of all, as ``bundles``; it may have a list,
    too. Raises UsageError where both names have a value.
    """
    for one, several in REPEATED.items():
        value = values.pop(one, None)
        if value is None or (value == "" and several in values):
            continue
        if several in values:
            raise UsageError(f"{where} has both {one} and {several}: keep {several}")
        # an empty text stays one: of a variable it means that there is none
        values[several] = [value] if value and not isinstance(value, list) else value
    found = sorted(RENAMED.keys() & values.keys())
    for old in found:
        new, times = RENAMED[old]
        value = values.pop(old)
        if new in values:
            raise UsageError(f"{where} has both {old} and {new}, its new name: keep {new}")
        values[new] = value if times is None else _times(value, times)
    return found


def _times(value: Any, times: int) -> Any:
    """``value`` times ``times``; anything but a number unchanged, for validation to refuse."""
    try:
        return round(float(value) * times)
    except (TypeError, ValueError, OverflowError):
        return value


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes has set the variable, to describe a Service; ignores case.

    ``NAME_PORT`` may be a setting, too: then the value decides.
    """
    name = name.lower()
    address = name.endswith("_port") and SERVICE_ADDRESS.match(value)
    return bool(address or SERVICE_LINK.fullmatch(name))


def check_environment(environment: Mapping[str, str]) -> list[str]:
    """The settings' names in the variables that have our prefix.

    Raises UsageError, in one line, for such a variable that is not a setting.
    """
    current = [PREFIX + name.upper() for name in (*Settings.model_fields, *REPEATED)]
    known = {*current, *(PREFIX + name.upper() for name in RENAMED)}
    names = []
    for name, value in sorted(environment.items()):
        spelt = name.upper()  # as for settings, case is ignored
        if not spelt.startswith(PREFIX) or is_service_link(name, value):
            continue
        if spelt not in known:
            raise UsageError(
                f"the environment has {one_line(name, MAX_NAME)}, "
                f"which is not a setting{did_you_mean(spelt, current)}"
            )
        names.append(spelt.removeprefix(PREFIX).lower())
    return names


def overlaid(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """The variables of a Service that have the name of a setting without another value.

    They overwrite a variable that the container image sets, so the setting has its default.
    """
    names = {
        PREFIX + name.upper() for name in Settings.model_fields.keys() - settings.model_fields_set
    }
    return sorted(
        name
        for name, value in environment.items()
        if name.upper() in names and is_service_link(name, value)
    )


def read_settings(flags: Mapping[str, object], config: Path | None = None) -> Settings:
    """The settings from ``flags``, the environment and the TOML file ``config``.

    Raises UsageError, in one line, for what is unknown, malformed or out of range.
    """
    given = dict(flags)
    in_file = {} if config is None else _read_file(config)
    variables = check_environment(os.environ)
    old_names = {
        *with_current_names(given, "the command line"),
        *with_current_names(in_file, f"configuration file {config}"),
        *RENAMED.keys() & set(variables),
    }

    class Given(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            *_: PydanticBaseSettingsSource,
            **__: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            assert isinstance(env_settings, EnvSettingsSource)
            env_settings.env_vars = _ours(env_settings.env_vars)
            return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    try:
        settings = Given(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise UsageError(_refused(error, given, variables, config)) from error
    settings._old_names = tuple(sorted(old_names))  # noqa: SLF001
    _check_texts(settings)
    _check_together(settings)
    find_engine(settings.engine)
    return settings


def _ours(variables: Mapping[str, str | None]) -> dict[str, Any]:
    """The variables that are settings, by their current names in lower case."""
    prefix = PREFIX.lower()
    values: dict[str, Any] = {
        name.removeprefix(prefix): value
        for name, value in variables.items()
        if name.startswith(prefix) and not is_service_link(name, value or "")
    }
    with_current_names(values, "the environment")
    return {prefix + name: value for name, value in values.items()}


def _read_file(config: Path) -> dict[str, Any]:
    """The content of a regular TOML file of bounded size; raises UsageError."""
    where = f"configuration file {config}"
    if not config.is_file():
        raise UsageError(
            f"{where} {'is not a regular file' if config.exists() else 'does not exist'}"
        )
    try:
        values = tomllib.loads(read_regular(config, MAX_SETTINGS_BYTES).decode())
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{where} is not TOML: {error}") from error
    for name, value in values.items():
        new, _ = RENAMED.get(name, (REPEATED.get(name, name), None))
        field = Settings.model_fields.get(new)
        if isinstance(value, bool) and field is not None and field.annotation is not bool:
            raise UsageError(  # pydantic would take true for 1
                f"{where}: {name} is {str(value).lower()}, a boolean"
            )
    return values


def _refused(
    error: ValidationError,
    flags: Mapping[str, object],
    variables: Iterable[str],
    config: Path | None,
) -> str:
    """The first mistake, in one line: which setting, where it was given, and what is wrong."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    in_file = f"configuration file {config}: "
    if first["type"] == "extra_forbidden":
        where = in_file if config is not None and name not in flags else ""
        meant = did_you_mean(name, Settings.model_fields)
        return f"{where}there is no setting {one_line(name, MAX_NAME)}{meant}"
    given = [
        name,
        *(old for old, (new, _) in RENAMED.items() if new == name),
        *(one for one, several in REPEATED.items() if several == name),
    ]
    if name in flags:
        where = ""
    elif any(each in variables for each in given):
        where = "environment: "
    else:
        where = in_file
    return (
        f"{where}setting {name} ({flag_of(name)}, {PREFIX}{name.upper()}): "
        f"{_wrong(first)}{_units(name, first['type'])}, got {without_secrets(repr(first['input']))}"
    )


WRONG = {  # what is wrong with a value, by the type of pydantic's error
    "greater_than": "must be above {gt:,.12g}",
    "greater_than_equal": "must be at least {ge:,.12g}",
    "less_than_equal": "must be at most {le:,.12g}",
    "literal_error": "must be {expected}",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "must be a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
}


# What a value must look like, by the pattern that it does not match.
LIKE = {
    RATE: "600/minute",
    ORIGIN: "https://shop.example, without a slash at its end",
    SHARE: "shop=50%",
    ROOT_PATH: "/shop, without a slash at its end",
}


def _units(name: str, kind: str) -> str:
    """The units of a setting that may have one, where its value is no number."""
    if not kind.startswith("int_"):
        return ""
    if name.endswith("_bytes"):
        return ", perhaps with a unit: B, kB, MB, GB, KiB, MiB or GiB"
    return ", perhaps with a unit: px, kpx, Mpx or Gpx" if name.endswith("_pixels") else ""


def _wrong(first: Any) -> str:
    """What is wrong with a value, as a sentence's end."""
    if first["type"] == "string_pattern_mismatch":
        return f"must look like {LIKE[first['ctx']['pattern']]}"
    template = WRONG.get(first["type"])
    if template is None:
        return str(first["msg"]).removeprefix("Value error, ")
    return template.format_map(first.get("ctx", {}))


def _check_texts(settings: Settings) -> None:
    for name, value in settings:
        texts = value if isinstance(value, tuple) else (value,)
        if any("\0" in str(text) for text in texts):  # the system accepts no path or name with one
            raise UsageError(
                f"setting {name}: there is a NUL in {without_secrets(repr(str(value)))}"
            )


def _check_together(settings: Settings) -> None:
    _check_models(settings)
    half = settings.request_timeout_seconds / 2
    if (
        "decode_timeout_seconds" in settings.model_fields_set
        and settings.decode_timeout_seconds > half
    ):
        raise UsageError(
            f"decode_timeout_seconds ({settings.decode_timeout_seconds:g}) must be at most half of "
            f"request_timeout_seconds, that is {half:g}"
        )
    if settings.rate_limit_per_key and not settings.api_keys:
        raise UsageError("rate_limit_per_key needs api_keys: without them no request has a key")
    if settings.metrics_host and settings.metrics_port is None:
        raise UsageError("metrics_host needs metrics_port, the port that it is for")
    _check_ports(settings)
    if settings.upload_memory_bytes is None:
        return
    workers = settings.workers or 1
    if settings.max_image_bytes > settings.upload_memory_bytes / workers:
        each = f" for each of {workers} workers" if settings.workers else ""
        raise UsageError(
            f"upload_memory_bytes must be at least max_image_bytes{each}: "
            "otherwise such an image is never accepted"
        )


def _check_ports(settings: Settings) -> None:
    """Raise UsageError for two that are the same; 0 is any free port, each time another one."""
    taken: dict[int, str] = {}
    for name in ("port", "metrics_port", "grpc_port"):
        port = getattr(settings, name)
        if port and taken.setdefault(port, name) != name:
            raise UsageError(f"{name} must differ from {taken[port]}: both are {port}")


def _check_models(settings: Settings) -> None:
    """Raise UsageError for bundles that cannot be, or a limit given twice."""
    check_bundles(settings.bundles)
    _check_unique("limits: two are for", [limit.partition("=")[0] for limit in settings.limits])


def check_bundles(bundles: Iterable[str]) -> None:
    """Raise UsageError for a wrong address, a name of two models, or a first one with a label."""
    sources = [parse_source(text) for text in bundles]
    for source in sources:
        if not source.bundle:
            raise UsageError(f"setting bundles: {source.key}= names no bundle")
        if is_address(source.bundle):
            Address.parsed(source.bundle)
    first = sources[0].key
    if first is not None and label_of(first):
        raise UsageError(
            f"setting bundles: the first model must be without a label, as {name_of(first)}: "
            f"{first} is a version beside it"
        )
    _check_unique("bundles: two models are", [each.key or each.bundle for each in sources])


def _check_unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"setting {what} {one_line(without_secrets(name), MAX_NAME)}")
