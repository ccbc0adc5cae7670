import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from greengrocer.cli.supervise import settings_json
from greengrocer.errors import UsageError
from greengrocer.read_settings import RENAMED, read_settings
from greengrocer.settings import PREFIX, Settings, flag_of
from support.servers import StartServer, clean_environment
from support.service_links import service_links


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file that sets a port, a host and a time-out."""
    path = tmp_path / "greengrocer.toml"
    path.write_text('port = 1001\nhost = "file"\nrequest_timeout_seconds = 11.5\n')
    return path


def run_serve(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command."""
    return subprocess.run(
        [sys.executable, "-m", "greengrocer", "serve", *flags],
        capture_output=True,
        text=True,
        env=clean_environment() | environment,
        check=False,
        timeout=120,
    )


def test_a_flag_overrides_the_environment_which_overrides_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENGROCER_PORT", "1002")
    monkeypatch.setenv("GREENGROCER_HOST", "environment")
    settings = read_settings({"port": "1003"}, config)
    assert (settings.port, settings.host, settings.request_timeout_seconds) == (
        1003,
        "environment",
        11.5,
    )
    assert settings.threads is Settings.model_fields["threads"].default


def test_every_setting_has_a_description_and_a_flag_that_help_shows() -> None:
    shown = run_serve("--help", COLUMNS="200").stdout
    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"{flag_of(name)} " in shown
        assert field.description in " ".join(shown.split())


def test_every_default_is_within_its_own_bounds() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert read_settings(defaults).model_dump() == read_settings({}).model_dump()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--port", "65536"], "port"),
        (["--port", "-1"], "port"),
        (["--threads", "0"], "threads"),
        (["--threads", "many"], "threads"),
        (["--max-image-pixels", "151M"], "max_image_pixels"),
        (["--max-queue-seconds", "nan"], "max_queue_seconds"),
        (["--upload-memory-bytes", "inf"], "upload_memory_bytes"),
        (["--upload-memory-bytes", "20-5"], "upload_memory_bytes"),
        (["--max-image-bytes", "20 MegaB"], "max_image_bytes"),
        (["--engine", "magic"], "engine"),
        (["--access-log", "perhaps"], "access_log"),
        (["--decode-timeout-seconds", "6"], "decode_timeout_seconds"),
        (["--max-image-bytes", "260MB", "--upload-memory-bytes", "259MB"], "upload_memory_bytes"),
        (["--decode-memory-bytes", "0"], "decode_memory_bytes"),
        (["--decode-megabytes", "many"], "decode_memory_bytes"),
        (["--workers", "0"], "workers"),
        (["--max-batch-size", "0"], "max_batch_size"),
        (["--batch-wait-seconds", "-0.001"], "batch_wait_seconds"),
        (["--workers", "13", "--upload-memory-bytes", "256MB"], "upload_memory_bytes"),
        (["--rate-limit-per-address", "5/fortnight"], "rate_limit_per_address"),
        (["--rate-limit-per-address", "0/second"], "rate_limit_per_address"),
        (["--rate-limit-per-key", "5/day"], "api_keys"),
        (["--trusted-proxies", "10.0.0.5/8"], "trusted_proxies"),
        (["--trusted-proxies", "10.0.0.5,balancer"], "trusted_proxies"),
        (["--cors-origins", "https://shop.example/"], "without a slash at its end"),
        (
            ["--root-path", "/shop/"],
            "must look like /shop, without a slash at its end, got '/shop/'",
        ),
        (["--cors-origins", "shop.example"], "cors_origins"),
        (["--metrics-host", "::1"], "metrics_port"),
        (["--metrics-port", "8000"], "metrics_port must differ from port: both are 8000"),
        (["--grpc-port", "8000"], "grpc_port must differ from port"),
        (["--grpc-port", "9", "--metrics-port", "9"], "grpc_port must differ from metrics_port"),
        (["--bundle", ""], "bundles"),
        (["--bundles", "grocery,shop="], "shop= names no bundle"),
        (["--bundles", "shop=a,shop=b"], "two models are shop"),
        (["--bundles", "shop@next=a,shop=b"], "the first model must be without a label, as shop"),
        (["--limit", "shop"], "must look like shop=50%"),
        (["--limit", "shop=0%"], "limits"),
        (["--limits", "shop=5%,shop=6%"], "two are for shop"),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(flags: list[str], named: str) -> None:
    pairs = zip(flags[::2], flags[1::2], strict=True)
    values = {flag[2:].replace("-", "_"): value for flag, value in pairs}
    with pytest.raises(UsageError, match=named) as refused:
        read_settings(dict(values))
    assert "\n" not in str(refused.value)


def test_an_old_name_is_accepted_in_every_source(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("max_megabytes = 2.5\ndrain = 7\n")
    monkeypatch.setenv("GREENGROCER_MAX_MEGAPIXELS", "12.5")
    settings = read_settings({"deadline": "20"}, config)
    assert (settings.max_image_bytes, settings.drain_timeout_seconds) == (2_500_000, 7)
    assert settings.max_image_pixels == 12_500_000
    assert settings.request_timeout_seconds == 20
    assert settings.old_names == ("deadline", "drain", "max_megabytes", "max_megapixels")


def test_every_old_name_maps_to_a_setting_and_is_none_itself() -> None:
    assert {new for new, _ in RENAMED.values()} <= Settings.model_fields.keys()
    assert not RENAMED.keys() & Settings.model_fields.keys()


def test_an_old_name_beside_its_new_one_is_refused(config: Path) -> None:
    config.write_text("max_megabytes = 2\nmax_image_bytes = 3\n")
    with pytest.raises(UsageError, match="keep max_image_bytes"):
        read_settings({}, config)


def test_a_flag_overrides_an_old_name_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGROCER_MAX_WAIT", "5")
    assert read_settings({"max_queue_seconds": "6"}).max_queue_seconds == 6


def test_an_old_name_is_a_warning_in_the_log(serve: StartServer, fake_bundle: Path) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", "--max-megabytes", "1")
    assert "max_image_bytes" in "".join(server.log)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("20MB", 20_000_000),
        ("20 MiB", 20 << 20),
        ("1.5GB", 1_500_000_000),
        ("500kB", 500_000),
        ("20_000_000", 20_000_000),
        ("64Ki", 65536),
    ],
)
def test_an_amount_may_have_a_unit(text: str, count: int) -> None:
    assert read_settings({"max_request_bytes": text}).max_request_bytes == count


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENGROCER_WORKERS", "")
    assert read_settings({}).workers is None


def test_an_error_names_its_source(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("threads = 'x'\n")
    with pytest.raises(UsageError, match=f"configuration file {config}: setting threads .*whole"):
        read_settings({}, config)
    config.write_text("")
    monkeypatch.setenv("GREENGROCER_DEADLINE", "0")
    with pytest.raises(UsageError, match=r"environment: setting request_timeout_seconds .*above 0"):
        read_settings({}, config)


def test_one_bundle_or_several_are_given_in_every_source(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = ("grocery", "shop=runs/shop")
    assert read_settings({}).bundles == ("grocery",)
    assert read_settings({"bundles": ["a,b"]}).bundles == ("a,b",)
    for name in ("bundle", "bundles"):
        for text in ('"runs/shop"', '["runs/shop"]'):
            config.write_text(f"{name} = {text}\n")
            assert read_settings({}, config).bundles == ("runs/shop",)
        config.write_text(f'{name} = ["grocery", "shop=runs/shop"]\n')
        assert read_settings({}, config).bundles == several
    for name in ("limit", "limits"):
        config.write_text(f'{name} = ["grocery=60%", "shop=50%"]\n')
        assert read_settings({}, config).limits == ("grocery=60%", "shop=50%")
    monkeypatch.setenv("GREENGROCER_BUNDLES", "grocery,shop=runs/shop")
    assert read_settings({}).bundles == several
    monkeypatch.delenv("GREENGROCER_BUNDLES")
    monkeypatch.setenv("GREENGROCER_BUNDLE", "runs/a,b")
    assert read_settings({}).bundles == ("runs/a,b",)
    config.write_text('bundle = "a"\nbundles = ["b"]\n')
    with pytest.raises(UsageError, match="both bundle and bundles"):
        read_settings({}, config)


def test_a_flag_may_be_given_for_each_bundle_and_limit() -> None:
    shown = run_serve("--bundle", "/no/a", "--bundle", "b=/no/b", "--limit", "b=5%", "--port", "0")
    assert shown.returncode == 2
    assert "/no/a" in shown.stderr


def test_the_watched_folder_has_its_shortest_path_that_is_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there/deeper", "watched"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there" / "deeper")
    monkeypatch.chdir(tmp_path / "here")
    for given, normal in {
        "../watched/": tmp_path / "watched",
        "./link": tmp_path / "here" / "link",
        "link/../deeper": Path("link/../deeper"),  # there is no deeper beside the link
    }.items():
        assert read_settings({"watch": given}).watch == normal


def test_a_list_is_comma_separated_text_or_a_toml_list(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("10.0.0.0/8", "192.0.2.7/32")
    assert read_settings({"trusted_proxies": "10.0.0.0/8, 192.0.2.7"}).trusted_proxies == wanted
    config.write_text('trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]\n')
    assert read_settings({}, config).trusted_proxies == wanted
    monkeypatch.setenv("GREENGROCER_TRUSTED_PROXIES", "::1")
    assert read_settings({}, config).trusted_proxies == ("::1/128",)


@pytest.mark.parametrize(
    "text",
    ["prot = 1", "[port]\nport = 1", "port =", "port = 'x'", "\0", "port = true", "bundle = false"],
)
def test_a_file_with_a_mistake_is_refused_in_one_line(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_settings({}, config)
    assert "\n" not in str(refused.value)


def test_an_empty_bundle_is_a_mistake_in_the_file_and_none_in_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('bundle = ""')
    with pytest.raises(UsageError, match=r"bundles .*must not be empty"):
        read_settings({}, config)
    config.write_text("")
    monkeypatch.setenv("GREENGROCER_BUNDLE", "")
    assert read_settings({}, config).bundles == Settings().bundles


def test_bytes_that_are_not_utf8_are_refused(config: Path) -> None:
    config.write_bytes(b"host = '\xff'")
    with pytest.raises(UsageError, match="is not TOML"):
        read_settings({}, config)


def test_an_unreadable_file_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="configuration file /proc/self/mem: "):
        read_settings({}, Path("/proc/self/mem"))  # a file whose every read fails


MISTAKES = {
    "out of range": (["--port", "99999"], {}, "port (--port, GREENGROCER_PORT)"),
    "environment": ([], {"GREENGROCER_PORT": "http"}, "port (--port, GREENGROCER_PORT)"),
    "threads": (["--port", "0"], {"ORT_INTRA_OP_NUM_THREADS": "0"}, "ORT_INTRA_OP_NUM_THREADS"),
    "unknown flag": (["--colour", "green"], {}, "--colour"),
    "misspelt flag": (["--api-kez=x", "--port", "-1"], {}, "--api-kez: did you mean --api-keys?"),
    "misspelt variable": (
        [],
        {"GREENGROCER_API_KEY": "x"},
        "GREENGROCER_API_KEY, which is not a setting: did you mean GREENGROCER_API_KEYS?",
    ),
    "unknown variable": ([], {"GREENGROCER_CI": "1"}, "GREENGROCER_CI, which is not a setting"),
    "small letters": ([], {"greengrocer_prot": "1"}, "did you mean GREENGROCER_PORT?"),
    "no host": (["--host", ""], {}, "host (--host, GREENGROCER_HOST): must not be empty"),
    "no bundle": (
        ["--bundle", ""],
        {},
        "bundles (--bundle, GREENGROCER_BUNDLES): must not be empty",
    ),
    "a huge number": (["--max-image-bytes", "9" * 400], {}, "max_image_bytes (--max-image-bytes"),
    "an unknown unit": (["--max-image-bytes", "20XB"], {}, "with a unit: B, kB, MB, GB, KiB, MiB"),
    "a unit of another kind": (["--max-image-pixels", "9MHz"], {}, "with a unit: px, kpx, Mpx or"),
    "misspelt old flag": (["--max-megabite=3"], {}, "there is no flag --max-megabite"),
    "several lines": ([], {"GREENGROCER_A\nB\x1b": "1"}, r"GREENGROCER_A\nB\u001b, which"),
    "bytes": ([], {"GREENGROCER_\udcff": "1"}, r"GREENGROCER_\udcff, which"),
    "a long one": ([], {"GREENGROCER_" + 5000 * "A": "1"}, "AAA [...] AAA"),
    "no such file": (["--config", "/no/such.toml"], {}, "/no/such.toml"),
    "no such bundle": (["--bundle", "/no/bundle", "--port", "0"], {}, "/no/bundle"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_error_is_one_line_with_exit_code_2(mistake: str) -> None:
    flags, environment, named = MISTAKES[mistake]
    done = run_serve(*flags, **environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("colour", "there is no setting colour\n"),
        ("prot", "there is no setting prot: did you mean port?"),
        ("max-image-pixels", "max-image-pixels: did you mean max_image_pixels?"),
        ("GREENGROCER_API_KEY", "GREENGROCER_API_KEY: did you mean api_keys?"),
    ],
)
def test_an_unknown_key_of_the_file_is_named_with_exit_code_2(
    config: Path, key: str, told: str
) -> None:
    config.write_text(f"{key} = 'green'\n")
    done = run_serve("--config", str(config))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"configuration file {config}: " in done.stderr
    assert told in done.stderr


def test_a_command_that_reads_settings_refuses_a_misspelt_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "greengrocer", "reload"],
        capture_output=True,
        text=True,
        env=clean_environment() | {"GREENGROCER_CONTROLL_SOCKET": "/tmp/socket"},
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean GREENGROCER_CONTROL_SOCKET?" in done.stderr


SERVICES = ("greengrocer", "greengrocer-metrics", "greengrocer-2", "greengrocer-service-host")


def test_kubernetes_service_links_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings().model_dump()
    for number, service in enumerate(SERVICES):
        for port in ("TCP", "UDP", "SCTP"):
            links = service_links(service, f"10.96.0.{number}", [("http", 80), ("", 8443)], port)
            for name, value in links.items():
                monkeypatch.setenv(name, value)
            settings = read_settings({})
            assert settings.model_dump() == defaults
            assert not settings.model_fields_set


def test_a_port_variable_that_is_no_service_link_is_still_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GREENGROCER_METRICS_PORT", "9090")
    monkeypatch.setenv("GREENGROCER_PORT", "http://10.96.0.1:80")
    with pytest.raises(UsageError, match="GREENGROCER_PORT"):
        read_settings({})


def test_an_ignored_port_variable_is_a_warning_in_the_log(
    serve: StartServer, fake_bundle: Path
) -> None:
    links = service_links("greengrocer-metrics", "fd00::1", [("metrics", 9090)])
    server = serve("--engine", "fake", "--bundle", str(fake_bundle), **links)
    (told,) = [line for line in server.log if "variable" in line]
    assert "GREENGROCER_METRICS_PORT" in told
    assert "enableServiceLinks: false" in told


def test_a_path_that_is_not_utf8_reaches_the_other_processes() -> None:
    settings = Settings(data=Path(os.fsdecode(b"/photos/\xff")), workers=2)
    assert Settings(**json.loads(settings_json(settings).encode())) == settings
