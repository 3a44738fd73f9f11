"""The documentation tells the truth: tables in docs/ against the running thing."""

import os
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


CHANNELS = ROOT / "docs" / "channels.md"


def field_table(server, db, condition):
    """Fields of channels as a table; without `condition` those that all kinds share."""
    rows = ["| field | type | default | |", "|---|---|---|---|"]
    for field, type_, required, secret, default, choices, least, most, help_ in server.sql(db, f"""
            SELECT DISTINCT ON (position, field) field, type, required, secret, "default", choices, min, max, description FROM (
                SELECT f.*, (SELECT count(*) FROM observ.channel_fields g WHERE (g.field, g.type, g.description) = (f.field, f.type, f.description)) = (SELECT count(*) FROM observ.channel_kinds) AS common
                FROM observ.channel_fields f) f WHERE {condition} ORDER BY position, field"""):
        marks = [word for word, there in (("required", required), ("secret", secret)) if there]
        kind = f"{type_}: {choices}" if choices else f"{type_}, {least} to {most}" if least is not None else type_
        rows.append(f"| `{field}`{' (' + ', '.join(marks) + ')' if marks else ''} | {kind} | {'`' + default + '`' if default is not None else ''} | {help_.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def kind_table(server, db):
    rows = ["| kind | | at a time | a minute | at once |", "|---|---|---|---|---|"]
    for name, description, *limits in server.sql(db, "SELECT kind, description, concurrency, rate_limit, burst FROM observ.channel_kinds ORDER BY kind"):
        rows.append(" | ".join([f"| [`{name}`](#{name})", description, *("any" if limit is None else str(limit) for limit in limits)]) + " |")
    return "\n".join(rows)


def test_fields_of_channels_are_documented(server, observ_db):
    """docs/channels.md has a section for each kind, with its fields as the library has them. OBSERV_UPDATE_EXPECTED=1 writes the tables anew."""
    text = CHANNELS.read_text(encoding="utf-8")
    tables = {"kinds": kind_table(server, observ_db), "fields: all": field_table(server, observ_db, "common AND kind = 'email'")}
    for kind, description in server.sql(observ_db, "SELECT kind, description FROM observ.channel_kinds ORDER BY kind"):
        if os.environ.get("OBSERV_UPDATE_EXPECTED") and f"\n## {kind}\n" not in text:
            text += f"\n## {kind}\n\n{description}\n"
        assert f"\n## {kind}\n" in text, f"docs/channels.md has no section ## {kind}"
        tables[f"fields: {kind}"] = field_table(server, observ_db, f"NOT common AND kind = '{kind}'")
        if os.environ.get("OBSERV_UPDATE_EXPECTED") and f"<!-- fields: {kind} -->" not in text:
            text = re.sub(rf"(\n## {kind}\n.*?)\n*(?=\n## |\Z)", rf"\1\n\n<!-- fields: {kind} -->\n<!-- end -->\n", text, flags=re.S)
    for name, table in tables.items():
        match = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", text, re.S)
        assert match, f"docs/channels.md has no <!-- {name} -->"
        if os.environ.get("OBSERV_UPDATE_EXPECTED"):
            text = text[:match.start(1)] + "\n" + table + "\n\n" + text[match.end(1):]
        else:
            assert match.group(1).strip() == table, f"<!-- {name} --> (OBSERV_UPDATE_EXPECTED=1 make e2e PYTEST_ARGS='-k documented')"
    if os.environ.get("OBSERV_UPDATE_EXPECTED"):
        CHANNELS.write_text(text, encoding="utf-8")
