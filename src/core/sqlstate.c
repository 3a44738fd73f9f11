/* sqlstate.c: A table of SQLSTATEs. See sqlstate.h for what belongs here. */
#include "core/sqlstate.h"

#include <stddef.h>
#include <string.h>

/* The first entry that the SQLSTATE begins with wins. */
static const struct {
	const char *prefix;
	struct sqlstate_advice advice;
} known[] = {
	{"08", {REMEDY_RETRY, NULL, NULL}},
	{"53300", {REMEDY_RETRY, NULL, "raise max_connections, or put PgBouncer in front of the database"}},
	{"53", {REMEDY_RETRY, NULL, NULL}},
	{"57P", {REMEDY_RETRY, NULL, NULL}},
	{"57014", {REMEDY_RETRY, NULL, "a statement_timeout of the role or database may be too short"}},
	{"40", {REMEDY_RETRY, NULL, NULL}},
	{"25P03", {REMEDY_RETRY, NULL, NULL}},
	{"25006",
	 {REMEDY_RETRY, "the server is read-only, perhaps a standby",
	  "add target_session_attrs=read-write and the other hosts to monitoring.postgres_url"}},
	{"55000",
	 {REMEDY_RETRY, NULL, "if monitoring is paused, type in that database: SELECT observ.resume();"}},
	{"55", {REMEDY_RETRY, NULL, NULL}},
	{"23514", {REMEDY_QUARANTINE, NULL, NULL}},
	{"22", {REMEDY_QUARANTINE, NULL, NULL}},
	{"23", {REMEDY_QUARANTINE, NULL, NULL}},
	{"54", {REMEDY_QUARANTINE, NULL, NULL}},
	{"28P01", {REMEDY_OPERATOR, "wrong password", "correct user and password in monitoring.postgres_url"}},
	{"28",
	 {REMEDY_OPERATOR, "the server refuses this user",
	  "check the user in monitoring.postgres_url and the server's pg_hba.conf"}},
	{"3D",
	 {REMEDY_OPERATOR, "the database does not exist",
	  "create it (CREATE DATABASE ...), or correct its name in monitoring.postgres_url"}},
	{"3F",
	 {REMEDY_OPERATOR, "the extension observ is missing", "type in that database: CREATE EXTENSION observ;"}},
	{"42883",
	 {REMEDY_OPERATOR, "the extension observ is missing or of another version",
	  "type in that database: CREATE EXTENSION observ; or ALTER EXTENSION observ UPDATE;"}},
	{"42P01",
	 {REMEDY_OPERATOR, "the extension observ is missing or of another version",
	  "type in that database: CREATE EXTENSION observ; or ALTER EXTENSION observ UPDATE;"}},
	{"42703",
	 {REMEDY_OPERATOR, "the extension observ is of another version",
	  "type in that database: ALTER EXTENSION observ UPDATE;"}},
	{"42501",
	 {REMEDY_OPERATOR, NULL,
	  "type in that database: SELECT observ.enroll_vps('VPS', agent_role => 'USER');"}},
	{"42", {REMEDY_OPERATOR, NULL, NULL}},
};

struct sqlstate_advice
advice_for_sqlstate(const char *sqlstate)
{
	if (!sqlstate || !*sqlstate)
		return (struct sqlstate_advice){REMEDY_RETRY, NULL, NULL};
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strncmp(sqlstate, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].advice;
	return (struct sqlstate_advice){REMEDY_OPERATOR, NULL, NULL};
}
