import pytest

from compacter_cli.errors import MissingResourceError
from compacter_cli.t5 import preset_places
from compacter_cli.t5.preset_places import cached_directory, check_preset


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """A kagglehub cache with nothing in it."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def unreachable(monkeypatch):
    monkeypatch.setattr(preset_places, "can_reach", lambda host: False)


def put_in_cache(cache, name, version, without=None):
    folder = cache / "models" / "keras" / "t5" / "keras" / name / version
    for file in ("config.json", "model.weights.h5", "assets/tokenizer/vocabulary.spm"):
        if file != without:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(b"{}")
    return folder


def test_random_tiny_and_local_presets_are_available_offline(tmp_path, monkeypatch):
    monkeypatch.setattr(preset_places, "can_reach", lambda host: pytest.fail("asked the network"))
    (tmp_path / "config.json").write_text("{}")
    check_preset("random/tiny", offline=True)
    check_preset(str(tmp_path), offline=True)


def test_a_preset_that_is_not_on_this_disk_is_missing_offline(monkeypatch):
    monkeypatch.setattr(preset_places, "can_reach", lambda host: pytest.fail("asked the network"))
    with pytest.raises(MissingResourceError, match="--offline is given") as caught:
        check_preset("t5_base_multi", offline=True)
    assert '"t5_base_multi"' in str(caught.value)
    assert "--set backbone.preset=DIR" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_preset_that_cannot_be_fetched_is_missing(monkeypatch):
    unreachable(monkeypatch)
    with pytest.raises(MissingResourceError, match=r"www\.kaggle\.com cannot be reached"):
        check_preset("t5_base_multi")


def test_a_preset_that_can_be_fetched_is_available(monkeypatch):
    asked = []
    monkeypatch.setattr(preset_places, "can_reach", lambda host: not asked.append(host))
    check_preset("t5_base_multi")
    assert asked == ["www.kaggle.com"]


def test_the_cache_gives_the_newest_complete_version(empty_cache, monkeypatch):
    unreachable(monkeypatch)
    assert cached_directory("t5_small_multi") is None
    put_in_cache(empty_cache, "t5_small_multi", "9")
    ten = put_in_cache(empty_cache, "t5_small_multi", "10")
    # Downloads that broke off, and a folder that is no version.
    put_in_cache(empty_cache, "t5_small_multi", "11", without="model.weights.h5")
    put_in_cache(empty_cache, "t5_small_multi", "12", without="config.json")
    put_in_cache(empty_cache, "t5_small_multi", "13", "assets/tokenizer/vocabulary.spm")
    put_in_cache(empty_cache, "t5_small_multi", "14.tmp")
    put_in_cache(empty_cache, "t5_base_multi", "20")
    assert cached_directory("t5_small_multi") == ten
    check_preset("t5_small_multi", offline=True)
