/* Rows into parameters of INSERT, or into the stream of COPY. Text is what obs-agent sends, by its own functions. */
#include "payload.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/encode.h"
#include "samples.h"
#include "statements.h"

#define LATE_US       INT64_C(259200000000)
#define EPOCH_2000_US INT64_C(946684800000000)
/* Object identifiers of the array elements, from PostgreSQL's catalog/pg_type.dat. */
#define OID_INT8        20
#define OID_INT4        23
#define OID_TEXT        25
#define OID_FLOAT4      700
#define OID_TIMESTAMPTZ 1184

static const enum metric classic[] = {M_CPU_PERCENT, M_MEMORY_PERCENT, M_MEMORY_MB,   M_DISK_PERCENT,
									  M_DISK_GB,     M_LOAD_AVG_1M,    M_LOAD_AVG_5M, M_LOAD_AVG_15M};

static const struct {
	const char *name;
	uint32_t oid;
} types[] = {
	[METRIC_REAL] = {"real", OID_FLOAT4},
	[METRIC_INTEGER] = {"integer", OID_INT4},
	[METRIC_BIGINT] = {"bigint", OID_INT8},
};

enum odd_kind
odd_agents_are(int number)
{
	static const enum odd_kind kinds[10] = {
		[1] = ODD_SENDS_TWICE, [3] = ODD_LATE, [5] = ODD_SKEWED, [7] = ODD_DROPPED_DAY};

	return kinds[number % 10];
}

void
load_set_columns(struct load *load)
{
	load->columns = load->all_columns ? METRICS : (int) (sizeof classic / sizeof *classic);
	for (int i = 0; i < load->columns; i++)
		load->column[i] = load->all_columns ? (enum metric) i : classic[i];
}

void
vps_name(char *out, size_t size, int number)
{
	snprintf(out, size, "vps%06d", number);
}

void
app_name(char *out, size_t size, int number)
{
	snprintf(out, size, "app%02d", number % 40);
}

void
load_statement(const struct load *load, struct strbuf *out)
{
	bool insert = load->method == METHOD_INSERT;

	strbuf_printf(out, "%s %s (vps_name, app_name, \"timestamp\"", insert ? "INSERT INTO" : "COPY",
				  load->table);
	for (int c = 0; c < load->columns; c++)
		strbuf_printf(out, ", %s", metric_columns[load->column[c]].name);
	if (!insert) {
		strbuf_printf(out, ") FROM STDIN (FORMAT %s)", load->binary ? "binary" : "text");
		return;
	}
	strbuf_puts(out, load->by_vps ? SQL_INSERT_SELECT
								  : ") SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[]");
	for (int c = 0; c < load->columns; c++)
		strbuf_printf(out, ", $%d::%s[]", KEY_PARAMS + 1 + c,
					  types[metric_columns[load->column[c]].type].name);
	strbuf_puts(out, SQL_INSERT_TAIL);
}

static void
put_int16(struct strbuf *b, int value)
{
	uint16_t raw = htons((uint16_t) value);

	strbuf_add(b, (const char *) &raw, sizeof raw);
}

static void
put_int32(struct strbuf *b, int32_t value)
{
	uint32_t raw = htonl((uint32_t) value);

	strbuf_add(b, (const char *) &raw, sizeof raw);
}

static void
put_int64(struct strbuf *b, int64_t value)
{
	put_int32(b, (int32_t) ((uint64_t) value >> 32));
	put_int32(b, (int32_t) ((uint64_t) value & UINT32_MAX));
}

static void
put_text(struct strbuf *b, const char *text)
{
	put_int32(b, (int32_t) strlen(text));
	strbuf_puts(b, text);
}

static void
put_timestamp(struct strbuf *b, int64_t us)
{
	put_int32(b, 8);
	put_int64(b, us - EPOCH_2000_US);
}

/* A value with its length before it, as arrays and COPY have it. */
static void
put_value(struct strbuf *b, enum metric metric, double value)
{
	float real = (float) value;
	int32_t raw;

	if (isnan(value)) {
		put_int32(b, -1);
		return;
	}
	switch (metric_columns[metric].type) {
	case METRIC_REAL:
		memcpy(&raw, &real, sizeof raw);
		put_int32(b, 4);
		put_int32(b, raw);
		break;
	case METRIC_INTEGER:
		put_int32(b, 4);
		put_int32(b, (int32_t) value);
		break;
	case METRIC_BIGINT:
		put_int32(b, 8);
		put_int64(b, (int64_t) value);
		break;
	}
}

/* Rows of the batch, and which VPS each is of. */
struct rows {
	struct row *row;
	int *vps;
	int count;
};

static void
copy_text(const struct load *load, const struct rows *rows, struct strbuf *b)
{
	char vps[32], app[32];

	for (int r = 0; r < rows->count; r++) {
		vps_name(vps, sizeof vps, rows->vps[r]);
		app_name(app, sizeof app, rows->vps[r]);
		strbuf_printf(b, "%s\t%s\t", vps, app);
		encode_timestamp(b, rows->row[r].timestamp_us);
		for (int c = 0; c < load->columns; c++) {
			strbuf_putc(b, '\t');
			encode_value(b, &rows->row[r], load->column[c], "\\N");
		}
		strbuf_putc(b, '\n');
	}
}

static void
copy_binary(const struct load *load, const struct rows *rows, struct strbuf *b)
{
	static const char signature[] = "PGCOPY\n\377\r\n";
	char name[32];

	strbuf_add(b, signature, sizeof signature); /* with its terminator */
	put_int32(b, 0);                            /* flags */
	put_int32(b, 0);                            /* length of the extension */
	for (int r = 0; r < rows->count; r++) {
		put_int16(b, KEY_PARAMS + load->columns);
		vps_name(name, sizeof name, rows->vps[r]);
		put_text(b, name);
		app_name(name, sizeof name, rows->vps[r]);
		put_text(b, name);
		put_timestamp(b, rows->row[r].timestamp_us);
		for (int c = 0; c < load->columns; c++)
			put_value(b, load->column[c], rows->row[r].value[load->column[c]]);
	}
	put_int16(b, -1);
}

static void
array_head(struct strbuf *b, uint32_t oid, int count)
{
	put_int32(b, 1); /* dimensions */
	put_int32(b, 1); /* there may be NULLs */
	put_int32(b, (int32_t) oid);
	put_int32(b, count);
	put_int32(b, 1); /* lower bound */
}

/* Element r of parameter p. */
static void
put_element(const struct load *load, const struct rows *rows, int p, int r, struct strbuf *b)
{
	enum metric metric = load->column[p < KEY_PARAMS ? 0 : p - KEY_PARAMS];
	char name[32];

	if (p < 2) {
		(p == 0 ? vps_name : app_name)(name, sizeof name, rows->vps[r]);
		if (load->binary)
			put_text(b, name);
		else
			strbuf_puts(b, name);
	} else if (p == 2) {
		if (load->binary) {
			put_timestamp(b, rows->row[r].timestamp_us);
		} else {
			strbuf_putc(b, '"');
			encode_timestamp(b, rows->row[r].timestamp_us);
			strbuf_putc(b, '"');
		}
	} else if (load->binary) {
		put_value(b, metric, rows->row[r].value[metric]);
	} else {
		encode_value(b, &rows->row[r], metric, "NULL");
	}
}

static uint32_t
element_oid(const struct load *load, int p)
{
	if (p < 2)
		return OID_TEXT;
	return p == 2 ? OID_TIMESTAMPTZ : types[metric_columns[load->column[p - KEY_PARAMS]].type].oid;
}

static void
insert_params(const struct load *load, const struct rows *rows, struct payload *payload)
{
	struct strbuf *b = &payload->bytes;
	int params = KEY_PARAMS + load->columns;
	char name[32];

	for (int p = 0; p < params; p++) {
		payload->start[p] = b->len;
		if (load->by_vps && p < 2) {
			(p == 0 ? vps_name : app_name)(name, sizeof name, rows->vps[0]);
			strbuf_puts(b, name);
		} else {
			if (load->binary)
				array_head(b, element_oid(load, p), rows->count);
			for (int r = 0; r < rows->count; r++) {
				if (!load->binary)
					strbuf_putc(b, r == 0 ? '{' : ',');
				put_element(load, rows, p, r, b);
			}
			if (!load->binary)
				strbuf_putc(b, '}');
		}
		strbuf_putc(b, '\0');
	}
	payload->start[params] = b->len;
}

static void
add_up(const struct load *load, const struct row *row, struct payloads *out)
{
	for (int c = 0; c < load->columns; c++) {
		enum metric m = load->column[c];

		if (isnan(row->value[m]))
			continue;
		out->sum[m] += metric_columns[m].type == METRIC_REAL ? (double) (float) row->value[m] : row->value[m];
		out->measured[m]++;
	}
}

static void
finish_payload(const struct load *load, const struct rows *rows, struct payload *payload)
{
	payload->rows = rows->count;
	payload->vps = load->by_vps ? rows->vps[0] : -1;
	if (load->method == METHOD_INSERT)
		insert_params(load, rows, payload);
	else
		(load->binary ? copy_binary : copy_text)(load, rows, &payload->bytes);
}

/* Rows of a VPS's batch number n. Each two batches make up least + batch rows, so that all VPSs have equally many batches. */
static int
batch_rows(const struct load *load, int vps, int n)
{
	uint64_t pair = (uint64_t) vps * 1000003 + (uint64_t) n / 2 + load->seed;
	int rows;

	if (load->least == 0)
		return load->batch;
	rows = load->least +
		   (int) ((pair * UINT64_C(0x9E3779B97F4A7C15) >> 32) % (uint64_t) (load->batch - load->least + 1));
	return n % 2 == 0 ? rows : load->least + load->batch - rows;
}

static int64_t
first_timestamp(const struct load *load, int vps)
{
	return load->start_us - (load->odd && odd_agents_are(vps) == ODD_LATE ? LATE_US : 0);
}

bool
load_make(const struct load *load, struct payloads *out)
{
	int outer = load->by_vps ? load->vps : load->steps, inner = load->by_vps ? load->steps : load->vps;
	/* A batch never reaches over the end of a VPS (or of a step): an agent speaks of one VPS. */
	int least = load->least > 0 ? load->least : load->batch;
	int per_outer = (inner + least - 1) / least;
	struct rows rows = {calloc((size_t) load->batch, sizeof *rows.row),
						calloc((size_t) load->batch, sizeof *rows.vps), 0};
	struct walk *walks = calloc((size_t) load->vps, sizeof *walks);
	bool ok;

	out->count = 0;
	out->list = calloc((size_t) outer * (size_t) per_outer, sizeof *out->list);
	ok = rows.row != NULL && rows.vps != NULL && walks != NULL && out->list != NULL;
	for (int v = 0; ok && v < load->vps; v++)
		walk_start(&walks[v], load->seed, v);
	for (int o = 0; ok && o < outer; o++)
		for (int i = 0, batches = 0; ok && i < inner; i++) {
			int vps = load->by_vps ? o : i, step = load->by_vps ? i : o;

			walk_next(&walks[vps], load->step_s, &rows.row[rows.count]);
			rows.row[rows.count].timestamp_us =
				first_timestamp(load, vps) + (int64_t) step * load->step_s * 1000000;
			rows.vps[rows.count] = vps;
			add_up(load, &rows.row[rows.count], out);
			rows.count++;
			if (rows.count == batch_rows(load, o, batches) || i == inner - 1) {
				batches++;
				finish_payload(load, &rows, &out->list[out->count]);
				ok = !out->list[out->count++].bytes.failed;
				rows.count = 0;
			}
		}
	free(rows.row);
	free(rows.vps);
	free(walks);
	return ok;
}
