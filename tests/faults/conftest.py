"""Tests that break something. `pytest tests/faults --full` breaks it every way, for hours."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="inject every fault, not a sample of them")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether every fault is injected, or the sample that runs with all other tests."""
    # The option is known only when this folder is named on the command line.
    return bool(request.config.getoption("--full", default=False))


@pytest.fixture(scope="session")
def environment(environment):
    """That of other tests, with XLA told to compile quickly: many processes start here."""

    def variables(place):
        return environment(place) | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}

    return variables
