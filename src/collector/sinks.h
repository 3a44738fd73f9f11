/*
 * sinks.h: where the kinds of records go: table, statement, columns, and what the answer says.
 *
 * Belongs here: the descriptors and the parameters made by them. Does not belong here: SQL text (statements.h), which records
 * are sent together (writer_batch.h), the conversation (writer.h).
 */
#ifndef OBSERV_COLLECTOR_SINKS_H
#define OBSERV_COLLECTOR_SINKS_H

#include <libpq-fe.h>

#include "common/strbuf.h"
#include "core/record.h"

#define SINK_PARAMS_MAX 16

enum sink_shape {
	SINK_ROWS, /* $1 VPS, $2 application, $3 times, $4 one array literal per record: short for few records */
	SINK_COLUMNS,  /* $1 VPS, $2 application, $3 times, $4 … one array per field: quick for many */
	SINK_OF_AGENT, /* $1 the agent's identity, $2 … one array per field */
};

enum sink_answer {
	SINK_STORED, /* one number, or the command tag: records that were stored; the others were there already */
	SINK_COUNTS, /* duplicates, clamped, quarantined, of the samples inside the records */
	SINK_SILENT,
};

struct sink_column {
	const char *name;
	bool number; /* without quotes in JSON */
};

struct sink {
	const char *table;
	const char *sql;
	enum sink_shape shape;
	enum sink_answer answer;
	const struct sink_column *columns; /* NULL: metric_columns[] */
};

extern const struct sink sinks[RECORD_KINDS];

/* Parameters of a statement, in memory that is used again and again. */
struct sink_params {
	struct strbuf column[SINK_PARAMS_MAX];
	int rows;
};

/* Begins parameters for records of that kind, adds a record with a time of its own choice, closes them. */
void sink_begin(struct sink_params *p);
void sink_add(struct sink_params *p, const struct record *r);

/* The complete list for PQsendQueryParams(); `lead` are the values before the arrays. Returns how many; 0: no memory. */
int sink_finish(struct sink_params *p, enum record_kind kind, const char *vps_name, const char *app_name,
				const char *agent_id, const char **values);
void sink_free(struct sink_params *p);

/* Bytes that the parameters keep. */
size_t sink_memory(const struct sink_params *p);

/* The record as one JSON object, whatever bytes it holds: for observ.quarantine. */
void sink_json(struct strbuf *b, const struct record *r, const char *vps_name, const char *app_name);

/* What an answer says. Counts that it says nothing about are 0. */
struct sink_counts {
	int64_t duplicates, clamped, quarantined;
};
struct sink_counts sink_read_answer(enum record_kind kind, int rows, const PGresult *res);

#endif
