/*
 * encode.h: rows as text: array parameters of PostgreSQL, JSON.
 */
#ifndef OBSERV_COLLECTOR_ENCODE_H
#define OBSERV_COLLECTOR_ENCODE_H

#include "common/strbuf.h"
#include "core/row.h"
#include "core/slice.h"

/* "2026-11-21 08:48:28.123456+00" */
void encode_timestamp(struct strbuf *b, int64_t us);

/* A number as its column wants it, "NULL" (or "null") when unknown. */
void encode_value(struct strbuf *b, const struct row *row, enum metric metric, const char *null);

/* {"timestamp": ..., "vps_name": ..., ...}: all columns, null where unknown, no newline. */
void encode_json(struct strbuf *b, const struct row *row, const char *vps_name, const char *app_name);

/* An element of a PostgreSQL array literal: quotes where they are needed, NULL for no text, zero bytes left out. */
void encode_array_item(struct strbuf *b, struct slice text);

/* The next number of an array of bigint as PostgreSQL writes it, moving `at` behind it; 0 where the array has ended. */
int64_t encode_next_number(const char **at, int64_t if_null);

/* A JSON string of any bytes: those that are not UTF-8, and what jsonb does not take, become U+FFFD. */
void encode_json_text(struct strbuf *b, struct slice text);

#endif
