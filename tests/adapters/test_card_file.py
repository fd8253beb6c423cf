import pytest

from compacter_cli.adapters.card_file import edited, signed


def test_a_card_is_known_until_it_is_edited(tmp_path):
    assert edited(tmp_path) is None
    card = tmp_path / "README.md"
    card.write_bytes(signed("text").encode())
    assert edited(tmp_path) is None
    for own in (signed("text").replace("text", "more").encode(), b"mine", b"\xff", b""):
        card.write_bytes(own)
        assert edited(tmp_path) == own


def test_what_is_no_card_is_not_read(tmp_path):
    (tmp_path / "README.md").write_bytes(bytes(1_000_001))
    with pytest.raises(ValueError, match="more than"):
        edited(tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    with pytest.raises((OSError, ValueError)):
        edited(tmp_path)
