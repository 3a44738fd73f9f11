"""The documentation tells the truth: tables in docs/ against the running thing."""

import re

import pytest

from harness import ROOT

# The harness switches these off; here they are what they are built in as.
SERVER = {"preload": True, "settings": {"observ.evaluation_interval": "15s", "observ.dispatch_interval": "5s"}}


def documented_parameters(page):
    """Name and default of each server parameter in a page's table."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(observ\.\w+)` \| (?:`([^`]*)`|\(empty\)) \|", text, re.M))


@pytest.mark.parametrize("page", ["docs/configuration.md", "README.md"])
def test_every_server_parameter_is_documented_with_its_default(server, page):
    """All of them in docs/, those that people change in the README."""
    real = {name for name, in server.sql("postgres", "SELECT name FROM pg_settings WHERE name LIKE 'observ.%'")}
    documented = documented_parameters(page)
    assert set(documented) <= real if page == "README.md" else set(documented) == real
    for name, default in documented.items():
        shown, boot = server.sql("postgres", "SELECT current_setting(name), boot_val FROM pg_settings WHERE name = %s",
                                 (name,))[0]
        # What the documentation writes must mean the built-in value; nothing in this server overrides it.
        assert default == shown, f"{name}: documented {default!r}, in fact {shown!r} ({boot})"


def test_every_server_parameter_has_a_description(server):
    assert server.sql("postgres", "SELECT name FROM pg_settings WHERE name LIKE 'observ.%' AND short_desc !~ '\\.$'") == []


def test_readme_links_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
