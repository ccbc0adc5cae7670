"""Ray Serve's options are derived from our settings; mistakes are errors of one line."""

import itertools

import pytest
import yaml

from greengrocer.assemble_limits import admission_limits
from greengrocer.engines.batcher import LARGEST_ON_GPU
from greengrocer.errors import Overloaded, UsageError
from greengrocer.scale.replicas import (
    ELSEWHERE,
    NAME,
    PATIENCE,
    QUICKEST,
    Replicas,
    read_arguments,
    serve_options,
)
from greengrocer.scale.wanted_models import WantedModels
from greengrocer.serving.admission import Admission
from greengrocer.serving.resources import ENGINE_THREADS
from greengrocer.settings import PREFIX, Settings
from support.ray_cluster import CONFIG
from support.service_links import service_links

SHIPPED = yaml.safe_load(CONFIG.read_text())


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_THREADS, raising=False)
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def let_in(settings: Settings, threads: int) -> int:
    """How many images the real admission has in flight when it refuses the next."""
    admission = Admission(admission_limits(settings, threads), threads, QUICKEST)
    for number in itertools.count():
        try:
            admission.admit()
        except Overloaded:
            return number
    raise AssertionError


@pytest.mark.parametrize("max_queue_seconds", [0.05, 3, 60])
@pytest.mark.parametrize("cpus", [1, 4])
def test_the_service_refuses_before_ray_serve_does(max_queue_seconds: float, cpus: int) -> None:
    replicas, settings = read_arguments({"max_queue_seconds": max_queue_seconds, "num_cpus": cpus})
    options = serve_options(replicas, settings)
    admitted = let_in(settings, cpus)
    assert admitted <= options["max_ongoing_requests"] <= admitted + cpus + 1
    # and when Serve has to, it says what the admission would say
    assert options["backpressure_config"] == {
        "status_code": 429,
        "retry_after_s": max_queue_seconds,
    }
    assert options["max_queued_requests"] == options["max_ongoing_requests"]


def test_the_time_outs_are_derived_from_the_settings() -> None:
    options = serve_options(
        Replicas(),
        Settings(drain_timeout_seconds=77, request_timeout_seconds=17, max_queue_seconds=2),
    )
    assert options["graceful_shutdown_timeout_s"] == 77
    assert options["health_check_timeout_s"] == 17
    assert (
        serve_options(Replicas(), Settings(request_timeout_seconds=1))["health_check_timeout_s"]
        == PATIENCE
    )
    assert options["autoscaling_config"]["upscale_delay_s"] == 2


def test_a_replica_targets_two_images_per_reserved_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replicas = Replicas(num_cpus=4, min_replicas=2, max_replicas=5)
    options = serve_options(replicas, Settings())
    assert options["ray_actor_options"]["num_cpus"] == 4
    scaling = options["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == (2, 5)
    assert scaling["target_ongoing_requests"] == 2 * 4
    on_a_gpu = serve_options(Replicas(num_cpus=4, num_gpus=1), Settings())["autoscaling_config"]
    assert on_a_gpu["target_ongoing_requests"] == 2 * (4 + 2 * LARGEST_ON_GPU)
    monkeypatch.setenv(ENGINE_THREADS, "2")
    halved = serve_options(replicas, Settings())["autoscaling_config"]
    assert halved["target_ongoing_requests"] == 2 * 2


def test_arguments_override_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GREENGROCER_REQUEST_TIMEOUT_SECONDS", "20")
    monkeypatch.setenv("GREENGROCER_BUNDLE", "fast")
    monkeypatch.setenv("GREENGROCER_MAX_QUEUE_SECONDS", "9")
    replicas, settings = read_arguments({"max_queue_seconds": 4})
    assert (settings.request_timeout_seconds, settings.max_queue_seconds) == (20, 4)
    assert serve_options(replicas, settings)["user_config"] == {"bundle": "fast", "models": {}}


def test_kubernetes_service_links_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    links = service_links("greengrocer", "10.96.0.12", [("http", 8000)])
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    assert not read_arguments({})[1].model_fields_set


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *(({name: 1}, f"{name} does not belong in args") for name in ELSEWHERE),
        ({"num_cpus": 0}, "num_cpus"),
        ({"num_cpus": "many"}, "num_cpus"),
        ({"min_replicas": 3, "max_replicas": 2}, "min_replicas must be at most"),
        ({"max_replica": 3}, "max_replica: did you mean max_replicas?"),
        ({"num_cpu": 3}, "num_cpu: did you mean num_cpus?"),
        ({"request_timeout_seconds": -1}, "request_timeout_seconds"),
    ],
)
def test_a_mistake_is_an_error_of_one_line(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as told:
        read_arguments(arguments)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", sorted(ELSEWHERE.keys() - {"bundles"}))
def test_a_setting_without_meaning_is_refused_in_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable = PREFIX + name.upper()
    monkeypatch.setenv(variable, "0.0.0.0" if name == "host" else "9")
    with pytest.raises(UsageError) as told:
        read_arguments({})
    assert str(told.value) == f"{variable} is set: {ELSEWHERE[name]}"


def test_the_shipped_configuration_is_accepted_and_agrees_with_the_settings() -> None:
    (application,) = SHIPPED["applications"]
    _, settings = read_arguments(application["args"])
    (deployment,) = application["deployments"]
    assert deployment["name"] == NAME
    assert WantedModels.parsed(deployment["user_config"]) == WantedModels.of(Settings().bundles)
    assert SHIPPED["http_options"]["keep_alive_timeout_s"] == settings.keep_alive_timeout_seconds
    # One clock over all of a request would cut off a long batch: ours run on its parts.
    assert "request_timeout_s" not in SHIPPED["http_options"]
    assert SHIPPED["http_options"]["host"] == "127.0.0.1"
