from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _neutral_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Perceval's git reads the configuration of the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield
