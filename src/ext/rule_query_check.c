/*
 * Queries of alert rules: whether one can work. What does not belong here: running it.
 *
 * The query is analysed, not planned and not run: what it may do at run time is for the evaluation to guard.
 */
#include "postgres.h"

#include "ext/rule_check.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#define MAX_QUERY_LENGTH 65536 /* bytes */

static const char columns_hint[] =
	"For instance SELECT jsonb_build_object('queue', name) AS labels, depth::float8 AS value, depth > 1000 "
	"AS breach FROM app.queues.";

/* Errors of the parser point into the query, not into the INSERT that brought it. */
static void
point_into_query(void *arg)
{
	int position = geterrposition();

	if (position > 0) {
		errposition(0);
		internalerrposition(position);
		internalerrquery(arg);
	}
	if (geterrcode() == ERRCODE_UNDEFINED_TABLE || geterrcode() == ERRCODE_UNDEFINED_FUNCTION)
		errhint("Only pg_catalog is searched: write other names with their schema.");
	errcontext("query of an alert rule");
}

static RawStmt *
parse_one(const char *query)
{
	List *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt *statement;

	if (list_length(statements) != 1)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("query of an alert rule must be one statement"),
						errdetail("There are %d.", list_length(statements)), errhint("%s", columns_hint)));
	statement = linitial_node(RawStmt, statements);
	if (!IsA(statement->stmt, SelectStmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("query of an alert rule must be a SELECT"),
				 errdetail("It is run read-only, each time that the rule is evaluated."),
				 errhint("%s", columns_hint)));
	return statement;
}

static void
check_reads_only(const Query *query)
{
	if (query->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("query of an alert rule must not be SELECT INTO"), errhint("%s", columns_hint)));
	if (query->hasModifyingCTE || query->hasForUpdate)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("query of an alert rule must not %s", query->hasModifyingCTE ? "write" : "lock rows"),
				 errdetail("It is run read-only, each time that the rule is evaluated."),
				 errhint("Leave out %s.", query->hasModifyingCTE ? "INSERT, UPDATE and DELETE in WITH"
																 : "FOR UPDATE and FOR SHARE")));
}

typedef struct ResultColumn {
	const char *name;
	Oid type;
	const char *cast;
} ResultColumn;

static const ResultColumn result_columns[] = {
	{"labels", JSONBOID, "jsonb"}, {"value", FLOAT8OID, "float8"}, {"breach", BOOLOID, "boolean"}};

static void
check_type(const ResultColumn *column, const TargetEntry *entry)
{
	Oid type = exprType((Node *) entry->expr);

	/* A number of another type is converted when it is read. */
	if (column->type == FLOAT8OID ? !can_coerce_type(1, &type, &column->type, COERCION_IMPLICIT)
								  : type != column->type)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of the query of an alert rule must be of type %s", column->name,
							   format_type_be(column->type)),
						errdetail("It is of type %s.", format_type_be(type)),
						errhint("Cast it: (…)::%s AS %s.", column->cast, column->name)));
}

/* Each of the three once, and nothing else, in any order. */
static void
check_columns(const Query *query)
{
	int seen[lengthof(result_columns)] = {0};
	ListCell *cell;

	foreach (cell, query->targetList) {
		TargetEntry *entry = lfirst(cell);
		int i;

		if (entry->resjunk)
			continue;
		for (i = 0; i < (int) lengthof(result_columns); i++)
			if (strcmp(result_columns[i].name, entry->resname) == 0)
				break;
		if (i == (int) lengthof(result_columns) || seen[i]++ > 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("query of an alert rule must return labels, value and breach, and nothing else"),
					 errdetail("It returns \"%s\"%s.", entry->resname,
							   i < (int) lengthof(result_columns) ? " twice" : ""),
					 errhint("%s", columns_hint)));
		check_type(&result_columns[i], entry);
	}
	for (int i = 0; i < (int) lengthof(result_columns); i++)
		if (seen[i] == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("query of an alert rule must return labels, value and breach"),
							errdetail("Column \"%s\" is missing.", result_columns[i].name),
							errhint("%s", columns_hint)));
}

/* Raises 42501 where the current user may not read a table. */
static bool
check_rights(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query)) {
		Query *query = castNode(Query, node);

		(void) ExecCheckRTPerms(query->rtable, true);
		return query_tree_walker(query, check_rights, context, 0);
	}
	return expression_tree_walker(node, check_rights, context);
}

Oid
observ_query_role(Oid owner)
{
	return superuser_arg(owner) ? get_role_oid("observ_rules", false) : owner;
}

static void
check_rights_as(Query *query, Oid owner)
{
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(observ_query_role(owner), security | SECURITY_LOCAL_USERID_CHANGE);
	(void) check_rights((Node *) query, NULL);
	SetUserIdAndSecContext(user, security);
}

char *
observ_check_query(const char *query, Oid owner)
{
	Oid types[] = {TIMESTAMPTZOID};
	ErrorContextCallback callback = {0};
	RawStmt *statement;
	Query *analysed;

	if (strlen(query) > MAX_QUERY_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("query of an alert rule is too long"),
						errdetail("It has %zu bytes; at most %d are kept.", strlen(query), MAX_QUERY_LENGTH),
						errhint("Put it into a view.")));
	callback.previous = error_context_stack;
	callback.callback = point_into_query;
	callback.arg = unconstify(char *, query);
	error_context_stack = &callback;
	statement = parse_one(query);
	analysed = parse_analyze_fixedparams(statement, query, types, lengthof(types), NULL);
	check_reads_only(analysed);
	check_columns(analysed);
	if (isQueryUsingTempRelation(analysed))
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
						errmsg("query of an alert rule must not read temporary tables"),
						errdetail("They are gone when it is run.")));
	check_rights_as(analysed, owner);
	error_context_stack = callback.previous;
	/* The length is known when something ended it. */
	return statement->stmt_len == 0 ? pstrdup(query)
									: pnstrdup(query + statement->stmt_location, statement->stmt_len);
}
