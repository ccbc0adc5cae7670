from greengrocer.serving.readiness import Readiness, State


def test_only_a_ready_service_wants_traffic() -> None:
    readiness = Readiness()
    assert readiness.state is State.STARTING
    found = {}
    for state in State:
        readiness.state = state
        found[state.value] = readiness.ready
    assert found == {"starting": False, "ready": True, "stopping": False}
