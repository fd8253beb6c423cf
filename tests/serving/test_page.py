import base64
import hashlib
import re

from compacter_cli.serving.page import api_page, policy, try_page

OPENAPI = {
    "info": {"title": "compacter", "version": "1", "description": "a < b"},
    "paths": {
        "/v1/ask": {
            "post": {
                "summary": "Asks.",
                "requestBody": {"schema": {"$ref": "#/components/schemas/Asked"}},
                "responses": {"200": {"description": "Told."}},
            }
        }
    },
    "components": {
        "schemas": {
            "Asked": {
                "description": "What is asked.",
                "required": ["who"],
                "properties": {
                    "who": {"type": "string", "description": "Whom."},
                    "how": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
            }
        }
    },
}


def between(tag, page):
    (found,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return found


def test_the_page_loads_nothing_from_elsewhere():
    page = try_page()
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\bsrc=", page)
    assert re.findall(r'href="([^"]*)"', page) == ["data:,", "docs", "openapi.json"]


def test_what_a_server_says_is_never_read_as_markup():
    script = between("script", try_page())
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)
    assert not re.search(r'\bon\w+="|style="', try_page())  # the policy would stop them


def test_the_script_finds_what_it_looks_for():
    page = try_page()
    looked_for = set(re.findall(r'part\("(\w+)"\)', between("script", page)))
    assert looked_for == set(re.findall(r' id="(\w+)"', page))
    labelled = set(re.findall(r'<label for="(\w+)"', page))
    assert labelled == {"token", "adapter"}


def test_while_an_answer_is_awaited_no_other_adapter_is_chosen():
    script = between("script", try_page())
    (asking,) = re.findall(r"async function ask\(\) \{(.*?)\n\}", script, re.DOTALL)
    changes = re.findall(r'part\("adapter"\)\.disabled = .* = (\w+);', asking)
    assert changes == ["true", "false"]


def test_the_policy_lets_the_pages_own_script_and_style_run_alone():
    page = try_page()
    directives = dict(part.strip().split(" ", 1) for part in policy(page).split(";"))
    for tag in ("script", "style"):
        digest = hashlib.sha256(between(tag, page).encode()).digest()
        assert directives[f"{tag}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert directives["default-src"] == "'none'"
    assert directives["connect-src"] == "'self'"


def test_the_api_is_listed_with_its_schemas():
    page = api_page(OPENAPI)
    assert "a &lt; b" in page
    assert "<h2><code>POST /v1/ask</code></h2>" in page
    assert 'Asked with <a href="#Asked">Asked</a>.' in page
    assert '<h2 id="Asked">Asked</h2>' in page
    assert "<code>who</code> (string): Whom." in page
    assert "<code>how</code> (string/null, may be left out)" in page
    assert "script-src 'none'" in policy(page)
