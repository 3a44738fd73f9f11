"""The build: what `make` promises to those who build and package observ. Works on a copy, never in the clone itself."""

import os
import re
import shutil

import pytest

import harness
from harness import ROOT, run_tool


@pytest.fixture(scope="module")
def tree(installation, tmp_path_factory):
    """A copy of the sources, built. Objects come along: building from nothing takes minutes, and is what run-tests.sh does first."""
    copy = tmp_path_factory.mktemp("tree") / "observ"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns("build", ".git", "*.so", "obs-agent", "__pycache__"))
    for stale in [o for o in copy.glob("src/*/*.o") if not o.with_suffix(".c").exists()]:
        stale.unlink()
    make(copy, "all")
    return copy


def make(tree, *targets, check=True):
    """make in the tree, with warnings of the compiler visible; the CompletedProcess."""
    pg_config = harness.Installation().pg_config
    return run_tool(["make", "-j2", "-C", tree, f"PG_CONFIG={pg_config}", *targets], check=check, timeout=600,
                    env=harness.clean_environment(MAKEFLAGS=""))


def built(tree, suffix):
    """Modification times of built files by path."""
    return {str(p.relative_to(tree)): p.stat().st_mtime_ns for p in (tree / "src").rglob(f"*{suffix}")}


def test_everything_named_is_built_and_nothing_else(tree):
    """Every .c file is in an object list of the Makefile: a file that is not named would rot unnoticed."""
    sources = {str(p.relative_to(tree).with_suffix(".o")) for p in (tree / "src").rglob("*.c")}
    assert sources == set(built(tree, ".o"))
    # Objects may have been there before; what make would compile if there were none:
    assert sources == set(re.findall(r" -c -o (src/\S+\.o) src/", make(tree, "-Bn", "all").stdout))
    assert (tree / "observ.so").exists() and os.access(tree / "obs-agent", os.X_OK)


def test_a_second_make_does_nothing(tree):
    before = built(tree, ".o")
    make(tree, "all")
    assert built(tree, ".o") == before


def test_a_touched_header_rebuilds_what_includes_it_and_only_that(tree):
    headers = sorted((tree / "src" / "ext").glob("*.h"))
    before = built(tree, ".o")
    for header in headers:
        name = f"ext/{header.name}"
        users = {o for o in before if name in (tree / o).with_suffix(".d").read_text(encoding="utf-8")}
        if users and users != set(before):
            break
    else:
        pytest.fail("no header of src/ext is a dependency of any object: are dependencies tracked?")
    header.touch()
    make(tree, "all")
    after = built(tree, ".o")
    assert {o for o in after if after[o] != before[o]} == users


def test_warnings_are_errors(tree):
    source = next((tree / "src" / "ext").glob("*.c"))
    text = source.read_text(encoding="utf-8")
    try:
        source.write_text(text + "\nstatic int nobody_calls_me(void)\n{\n\treturn 1;\n}\n", encoding="utf-8")
        done = make(tree, "all", check=False)
        assert done.returncode != 0
        assert "nobody_calls_me" in done.stderr and "-Werror=unused-function" in done.stderr
    finally:
        source.write_text(text, encoding="utf-8")
    make(tree, "all")


def test_only_what_postgresql_needs_is_exported(tree):
    lines = run_tool(["nm", "-D", "--defined-only", tree / "observ.so"]).stdout.splitlines()
    names = {line.split()[-1] for line in lines}
    assert {"Pg_magic_func", "_PG_init"} <= names
    assert not [n for n in names if not re.match(r"^(Pg_magic_func|_PG_init|pg_finfo_observ_\w+|observ_\w+)$", n)]


def test_install_and_uninstall_are_symmetric(tree, tmp_path):
    def installed():
        return {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}

    make(tree, "install", f"DESTDIR={tmp_path}")
    names = {name.rsplit("/", 1)[-1] for name in installed()}
    assert {"observ.so", "observ.control", "observ--1.0.sql", "obs-agent", "observ.index.bc"} <= names
    make(tree, "uninstall", f"DESTDIR={tmp_path}")
    assert installed() == set()


def test_clean_leaves_only_the_sources(tree):
    """The last one here: building again takes minutes."""
    def listing():
        return {str(p.relative_to(tree)) for p in tree.rglob("*") if p.is_file()}

    make(tree, "clean")
    source = {str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()}
    assert listing() <= source
    assert not built(tree, ".o") and not built(tree, ".d") and not built(tree, ".bc")
