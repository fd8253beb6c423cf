import pytest

from compacter_cli.training.card_metadata import base_model, yaml_lines


@pytest.mark.parametrize(
    ("preset", "name"),
    [
        ("flan_base_multi", "google/flan-t5-base"),
        ("models/t5_1.1_xxl/", "t5_1.1_xxl"),  # a folder may hold anything
        ("/home/me/my t5..v2", "my-t5.-v2"),
        ("demo/t5", "compacter-demo-t5"),
        ("random/tiny", "compacter-random-tiny"),
        ("/", "unnamed"),
    ],
)
def test_a_backbone_is_called_what_hubs_call_it_or_by_its_last_name(preset, name):
    assert base_model(preset) == name


def test_a_text_is_written_as_yaml_takes_it():
    assert list(yaml_lines({"a": "é\x7f\u2028\ud800\n", "b": [1.5]})) == [
        r'a: "é\U0000007f\U00002028\U0000d800\n"',
        "b:",
        "  - 1.5",
    ]
