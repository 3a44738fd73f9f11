"""What a database holds, in a form that two databases can be compared by: catalog() and data().

What belongs here: queries that describe schemas observ, observ_data and public without oids. What does not: tests.
"""

# One query per kind of object; each returns one text column. Names instead of oids, definitions instead of ids.
def _acl(column):
    return (f"(SELECT string_agg(concat(coalesce(g.rolname, 'PUBLIC'), ':', a.privilege_type, CASE WHEN a.is_grantable THEN '*' END), "
            f"',' ORDER BY g.rolname, a.privilege_type) FROM aclexplode({column}) a LEFT JOIN pg_roles g ON g.oid = a.grantee)")


def _acl_or_default(column, kind, owner):
    return _acl(f"coalesce({column}, acldefault({kind}, {owner}))")


RELATION_KIND = "CASE c.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END"
FUNCTION_KIND = "'f'"
OURS = "n.nspname IN ('observ', 'observ_data', 'public')"

CATALOG = {
    "schema": f"SELECT concat_ws('|', nspname, nspowner::regrole, {_acl('nspacl')}, obj_description(n.oid, 'pg_namespace')) "
              f"FROM pg_namespace n WHERE nspname IN ('observ', 'observ_data')",
    "relation": f"""
        SELECT concat_ws('|', c.oid::regclass, c.relkind, c.relpersistence, c.relowner::regrole, c.relrowsecurity,
            c.relforcerowsecurity, c.relispartition, c.relreplident, c.reloptions::text, t.spcname,
            {_acl_or_default('c.relacl', RELATION_KIND, 'c.relowner')},
            pg_get_expr(c.relpartbound, c.oid), CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) WHEN 'v' THEN
            pg_get_viewdef(c.oid) END, obj_description(c.oid, 'pg_class'))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
        WHERE {OURS} AND c.relkind <> 'c'""",
    "column": f"""
        SELECT concat_ws('|', c.oid::regclass, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attislocal, a.attinhcount,
            l.collname, a.attstorage, a.attcompression, a.attstattarget, (SELECT array_agg(o) FROM unnest(a.attoptions) o WHERE o !~ '^pg_attver=')::text, {_acl('a.attacl')},
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'c'""",
    "index": f"""
        SELECT concat_ws('|', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready, i.indisunique, i.indisprimary,
            i.indisreplident, i.indisclustered, (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = i.indexrelid),
            c.reloptions::text)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}""",
    "constraint": f"""
        SELECT concat_ws('|', o.conname, nullif(o.conrelid, 0)::regclass, o.contype, o.convalidated, o.conislocal,
            o.coninhcount, pg_get_constraintdef(o.oid), obj_description(o.oid, 'pg_constraint'))
        FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace WHERE {OURS}""",
    "policy": """
        SELECT concat_ws('|', polrelid::regclass, polname, polcmd, polpermissive, polroles::regrole[]::text,
            pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy'))
        FROM pg_policy""",
    "function": f"""
        SELECT concat_ws('|', p.oid::regprocedure, pg_get_function_result(p.oid), p.proowner::regrole, l.lanname, p.prosecdef,
            p.provolatile, p.proparallel, p.proisstrict, p.proconfig::text, md5(p.prosrc),
            {_acl_or_default('p.proacl', FUNCTION_KIND, 'p.proowner')}, obj_description(p.oid, 'pg_proc'))
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang WHERE {OURS}""",
    "type": f"""
        SELECT concat_ws('|', t.oid::regtype, t.typowner::regrole, {_acl('t.typacl')}, obj_description(t.oid, 'pg_type'),
            (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
        FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {OURS} AND t.typtype <> 'c' AND t.typelem = 0""",
    "sequence": """
        SELECT concat_ws('|', s.seqrelid::regclass, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle,
            (SELECT d.refobjid::regclass || '.' || d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
                AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'))
        FROM pg_sequence s""",
    "trigger": "SELECT concat(pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal",
    "member": """
        SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
        WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
            AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'observ')""",
    "initial privileges": """
        SELECT pg_describe_object(i.classoid, i.objoid, i.objsubid) || initprivs::text FROM pg_init_privs i
        WHERE privtype = 'e'""",
    "extension": "SELECT concat_ws('|', extname, extversion, extnamespace::regnamespace, extowner::regrole, "
                 "obj_description(oid, 'pg_extension')) FROM pg_extension",
}

# Kept by the workers of each database for themselves, and in no dump.
NOT_DATA = {"observ.job_runs"}


def catalog(conn):
    """Everything but the rows: a set of lines."""
    lines = set()
    for kind, query in CATALOG.items():
        lines.update(f"{kind}: {row[0]}" for row in conn.execute(query))
    return lines


def data(conn):
    """{table: (rows, checksum)} of every ordinary table, {sequence: (last_value, is_called)} of every sequence."""
    result = {}
    relations = conn.execute(f"SELECT c.oid::regclass::text, c.relkind FROM pg_class c JOIN pg_namespace n ON "
                             f"n.oid = c.relnamespace WHERE {OURS} AND c.relkind IN ('r', 'S')").fetchall()
    for name, kind in relations:
        if name in NOT_DATA:
            continue
        if kind == "S":
            result[name] = conn.execute(f"SELECT last_value, is_called FROM {name}").fetchone()
        else:
            result[name] = conn.execute(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {name} t").fetchone()
    return result


def differences(before, after):
    """Lines that only one of two catalogs has, as text for an assertion message; empty when they are equal."""
    return "\n".join([f"- {line}" for line in sorted(before - after)] + [f"+ {line}" for line in sorted(after - before)])
