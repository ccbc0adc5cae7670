from greengrocer.serving.readiness import Readiness, State


def test_only_the_ready_state_accepts_traffic() -> None:
    readiness = Readiness()
    assert readiness.state is State.STARTING
    found = {}
    for state in State:
        readiness.state = state
        found[state.value] = readiness.ready
    assert found == {"starting": False, "ready": True, "stopping": False}
