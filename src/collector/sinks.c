/* sinks.c: Descriptors of where records go, and parameters by them. See sinks.h for what belongs here. */
#include "collector/sinks.h"

#include <stdlib.h>

#include "collector/encode.h"
#include "collector/statements.h"
#include "core/row.h"

static const struct sink_column health_columns[HEALTH_FIELDS] = {
	[HEALTH_URL] = {"url"},
	[HEALTH_STATUS_CODE] = {"status_code", true},
	[HEALTH_RESPONSE_TIME_MS] = {"response_time_ms", true},
	[HEALTH_SUCCESS] = {"success"},
	[HEALTH_ERROR_MESSAGE] = {"error_message"},
	[HEALTH_DNS_MS] = {"dns_ms", true},
	[HEALTH_CONNECT_MS] = {"connect_ms", true},
	[HEALTH_TLS_MS] = {"tls_ms", true},
	[HEALTH_FIRST_BYTE_MS] = {"first_byte_ms", true},
	[HEALTH_TLS_EXPIRES_AT] = {"tls_expires_at"},
	[HEALTH_BREAKER_STATE] = {"breaker_state"},
	[HEALTH_INCONCLUSIVE] = {"inconclusive"},
};
static const struct sink_column line_columns[LINE_FIELDS] = {
	[LINE_LEVEL] = {"level"},   [LINE_MESSAGE] = {"message"}, [LINE_CONTEXT] = {"context"},
	[LINE_LOGGER] = {"logger"}, [LINE_SOURCE] = {"source"},
};
static const struct sink_column samples_columns[SAMPLES_FIELDS] = {
	[SAMPLES_NAMES] = {"metric_names"},
	[SAMPLES_LABELS] = {"labels"},
	[SAMPLES_VALUES] = {"values"},
	[SAMPLES_KINDS] = {"kinds"},
};
static const struct sink_column event_columns[EVENT_FIELDS] = {
	[EVENT_KIND] = {"kind"},       [EVENT_MESSAGE] = {"message"},
	[EVENT_SUCCESS] = {"success"}, [EVENT_DURATION_MS] = {"duration_ms", true},
	[EVENT_DATA] = {"data"},
};
static const struct sink_column peers_columns[PEERS_FIELDS] = {
	[PEERS_JSON] = {"peers"},
	[PEERS_ADDRESSES] = {"addresses"},
};
static const struct sink_column position_columns[POSITION_FIELDS] = {
	[POSITION_FILE] = {"file"},
	[POSITION_STATE] = {"state"},
};

const struct sink sinks[RECORD_KINDS] = {
	[RECORD_METRICS] = {"vps_metrics", SQL_METRICS, SINK_ROWS, SINK_STORED, NULL},
	[RECORD_HEALTH] = {"health_checks", SQL_HEALTH, SINK_ROWS, SINK_STORED, health_columns},
	[RECORD_LOG] = {"log_entries", SQL_LOG, SINK_COLUMNS, SINK_SILENT, line_columns},
	[RECORD_SAMPLES] = {"metric_samples", SQL_SAMPLES, SINK_COLUMNS, SINK_COUNTS, samples_columns},
	[RECORD_EVENT] = {"events", SQL_EVENT, SINK_COLUMNS, SINK_STORED, event_columns},
	[RECORD_PEERS] = {"peers", SQL_PEERS, SINK_COLUMNS, SINK_SILENT, peers_columns},
	[RECORD_POSITION] = {"log_positions", SQL_POSITION, SINK_OF_AGENT, SINK_SILENT, position_columns},
};

static int
lead_params(enum sink_shape shape)
{
	return shape == SINK_OF_AGENT ? 1 : 3;
}

void
sink_begin(struct sink_params *p)
{
	for (int i = 0; i < SINK_PARAMS_MAX; i++)
		strbuf_reset(&p->column[i]);
	p->rows = 0;
}

/* An array literal of all fields, itself an element of an array. */
static void
add_row(struct strbuf *b, const struct record *r)
{
	struct strbuf row = STRBUF_INIT;

	strbuf_putc(&row, '{');
	for (int f = 0; f < r->fields; f++) {
		if (f)
			strbuf_putc(&row, ',');
		encode_array_item(&row, r->field[f]);
	}
	strbuf_putc(&row, '}');
	if (row.failed)
		b->failed = true;
	else
		encode_array_item(b, (struct slice){row.data, row.data + row.len});
	strbuf_free(&row);
}

void
sink_add(struct sink_params *p, const struct record *r)
{
	const struct sink *sink = &sinks[r->kind];
	int lead = lead_params(sink->shape);
	int last = sink->shape == SINK_ROWS ? lead : lead + r->fields - 1;

	for (int i = sink->shape == SINK_OF_AGENT ? lead : lead - 1; i <= last; i++)
		strbuf_putc(&p->column[i], p->rows ? ',' : '{');
	if (sink->shape != SINK_OF_AGENT) {
		strbuf_putc(&p->column[lead - 1], '"');
		encode_timestamp(&p->column[lead - 1], r->timestamp_us);
		strbuf_putc(&p->column[lead - 1], '"');
	}
	if (sink->shape == SINK_ROWS)
		add_row(&p->column[lead], r);
	else
		for (int f = 0; f < r->fields; f++)
			encode_array_item(&p->column[lead + f], r->field[f]);
	p->rows++;
}

int
sink_finish(struct sink_params *p, enum record_kind kind, const char *vps_name, const char *app_name,
			const char *agent_id, const char **values)
{
	int count = 0;

	values[0] = sinks[kind].shape == SINK_OF_AGENT ? agent_id : vps_name;
	values[1] = app_name;
	for (int i = 0; i < SINK_PARAMS_MAX; i++) {
		if (p->column[i].failed)
			return 0;
		if (p->column[i].len == 0)
			continue;
		strbuf_putc(&p->column[i], '}');
		values[i] = p->column[i].data;
		count = i + 1;
	}
	return count;
}

void
sink_free(struct sink_params *p)
{
	for (int i = 0; i < SINK_PARAMS_MAX; i++)
		strbuf_free(&p->column[i]);
}

size_t
sink_memory(const struct sink_params *p)
{
	size_t sum = 0;

	for (int i = 0; i < SINK_PARAMS_MAX; i++)
		sum += p->column[i].size;
	return sum;
}

static bool
is_number(struct slice s)
{
	bool digit = false;

	for (const char *at = s.p; at < s.end; at++) {
		if (*at >= '0' && *at <= '9')
			digit = true;
		else if (*at != '.' && !(*at == '-' && at == s.p))
			return false;
	}
	return digit && s.p[0] != '.' && s.end[-1] != '.';
}

void
sink_json(struct strbuf *b, const struct record *r, const char *vps_name, const char *app_name)
{
	const struct sink_column *columns = sinks[r->kind].columns;

	strbuf_puts(b, "{\"timestamp\": \"");
	encode_timestamp(b, r->timestamp_us);
	strbuf_puts(b, "\", \"vps_name\": ");
	strbuf_json_string(b, vps_name);
	strbuf_puts(b, ", \"app_name\": ");
	strbuf_json_string(b, app_name);
	for (int f = 0; f < r->fields; f++) {
		struct slice value = r->field[f];
		strbuf_printf(b, ", \"%s\": ", columns ? columns[f].name : metric_columns[f].name);
		if (!value.p)
			strbuf_puts(b, "null");
		else if ((!columns || columns[f].number) && is_number(value))
			strbuf_add(b, value.p, (size_t) (value.end - value.p));
		else
			encode_json_text(b, value);
	}
	strbuf_putc(b, '}');
}

static const char *
only_value(const PGresult *res)
{
	return PQntuples(res) == 1 && PQnfields(res) == 1 ? PQgetvalue(res, 0, 0) : "";
}

struct sink_counts
sink_read_answer(enum record_kind kind, int rows, const PGresult *res)
{
	struct sink_counts counts = {0, 0, 0};

	if (sinks[kind].answer == SINK_STORED) {
		/* As the command tag has it: "INSERT 0 n", where n are the rows that were not there yet. */
		const char *stored = PQnfields(res) > 0 ? only_value(res) : PQcmdTuples((PGresult *) res);
		counts.duplicates = rows - strtoll(stored, NULL, 10);
	} else if (sinks[kind].answer == SINK_COUNTS) {
		const char *at = only_value(res);
		counts.duplicates = encode_next_number(&at, 0);
		counts.clamped = encode_next_number(&at, 0);
		counts.quarantined = encode_next_number(&at, 0);
	}
	return counts;
}
