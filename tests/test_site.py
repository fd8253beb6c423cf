"""What hooks put on the site's pages; `.ci/run` builds the site itself."""

import re
import runpy
from pathlib import Path

import pytest

from compacter_cli.adapters.attach import attach
from compacter_cli.errors import UsageError
from compacter_cli.exchange.adapterhub_config import bottlenecks
from compacter_cli.exchange.peft import config_of
from compacter_cli.main import COMMANDS
from compacter_cli.methods import METHODS
from compacter_cli.t5.merging import check_foldable
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import shape_of_backbone

DOCS = Path(__file__).parents[1] / "docs"
PAGES, FACTS = (
    runpy.run_path(str(DOCS / "hooks" / f"{it}.py")) for it in ("pages", "method_facts")
)


def test_every_command_and_every_method_is_in_the_menu():
    menu = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    for page in [f"commands/{name}.md" for name in COMMANDS] + [
        f"methods/{it}.md" for it in METHODS
    ]:
        assert f"- {page}\n" in menu


def test_a_command_s_page_is_its_help():
    page = PAGES["command_page"]("train")
    assert page.startswith("# compacter train\n")
    assert "\n| `--dry-run` | " in page
    assert re.search(r"^Example: `compacter train --recipe [^`]+`$", page, re.MULTILINE)


def test_a_subcommand_is_a_section():
    page = PAGES["command_page"]("data")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == [
        "compacter data status", "compacter data prepare",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("[a](docs/sweeps.md#the-file)", "[a](sweeps.md#the-file)"),
        ("[a](CONTRIBUTING.md)", "[a](contributing.md)"),
        ("![a](docs/figures/a.svg)", "![a](figures/a.svg)"),
        ("[a](https://arxiv.org/abs/2106.04647) [b](#here)",) * 2,
    ],
)
def test_links_of_the_repository_s_top_lead_to_the_site_s_pages(there, here):
    assert PAGES["included"](there) == here


@pytest.mark.parametrize("name", METHODS)
def test_a_method_s_page_has_its_equation_its_table_and_its_facts(name):
    page = (DOCS / "methods" / f"{name}.md").read_text(encoding="utf-8")
    assert "\n```math\n" in page
    assert f'name = "{name}"' in page
    made = FACTS["with_facts"](page, f"methods/{name}.md")
    for key in METHODS[name].model_fields:
        assert key == "name" or re.search(rf"^\| `{key}` \| .* \| \S.* \|$", made, re.MULTILINE), (
            key
        )
    assert f"entailment_{name}`" in made


def test_a_method_s_facts_are_those_of_the_paper_and_of_this_program():
    page = "\n\n".join(FACTS["facts"]("compacterpp"))
    assert "| T5-base | 104,704 | 0.0470 | 0.42 MB |" in page
    assert "| GLUE (Table 1) | 4 | 0.047 | 86.47 |" in page
    assert "takes -27% time and -30% memory" in page  # Table 3: 30.96 / 42.13, 118.35 / 167.99
    assert "it is 0.003 in the paper's setting, and 0.016 in any other" in page


def test_the_table_of_what_can_be_done_is_true(keras, tiny_backbone):
    page = (DOCS / "methods/index.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1:-1] for row in page.splitlines() if row.startswith("| `")]
    told = {name: [bool(it.strip()) for it in row[1:]] for row in rows for name in _names(row[0])}
    assert told == {name: _abilities(name, tiny_backbone()) for name in METHODS}


def _names(cell):
    return re.findall(r"`(\w+)`", cell)


SMALL = {
    "adapterdrop": {"dropped_blocks": 1},
    "prompt_t": {"length": 4},
    "said": {"intrinsic_dim": 200},
}


def _abilities(name, backbone):
    """Whether it can be attached, folded, written for another library, and share a batch."""
    method, shape = METHODS[name](**SMALL.get(name, {})), shape_of_backbone(backbone)
    model = T5Model(backbone, method)
    return [
        _works(attach, backbone, method),
        _works(check_foldable, model),
        _works(bottlenecks, method) or _works(config_of, method, shape),
        not model.unmixable,
    ]


def _works(call, *given):
    try:
        call(*given)
    except (UsageError, ValueError):
        return False
    return True
