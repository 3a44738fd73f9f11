/*
 * samples.h: samples of labelled metrics on their way into the spool, as the arrays that observ.insert_samples() takes.
 *
 * Belongs here: array literals, labels as JSON, chunks, end marks. Does not belong here: what is measured.
 * Text that PostgreSQL would refuse is repaired (bytes that are no UTF-8 and zero bytes become ?); a name or labels beyond what the database
 * takes cost that sample alone.
 */
#ifndef OBSERV_COLLECTOR_SAMPLES_H
#define OBSERV_COLLECTOR_SAMPLES_H

#include "collector/series_table.h"
#include "collector/spool.h"
#include "common/strbuf.h"
#include "core/series.h"

#define SAMPLES_PER_RECORD 500
#define SAMPLES_BYTES                                                                                        \
	262144 /* of names and labels of a record, about: long ones must not make it larger than the spool takes */

enum sample_kind { SAMPLE_BY_NAME, SAMPLE_GAUGE, SAMPLE_COUNTER };

struct samples {
	struct spool *spool;
	int64_t timestamp_us;
	int count;              /* in this record */
	bool any_kind;          /* one of them is not what its name says */
	int64_t added, refused; /* since samples_begin() */
	struct strbuf names, labels, values, kinds, scratch;
};

#define SAMPLES_INIT                                                                                         \
	{                                                                                                        \
		.names = STRBUF_INIT, .labels = STRBUF_INIT, .values = STRBUF_INIT, .kinds = STRBUF_INIT,            \
		.scratch = STRBUF_INIT                                                                               \
	}

/* What is added from now on is of that time. */
void samples_begin(struct samples *s, struct spool *spool, int64_t timestamp_us);

/* What comes next is of another time. */
void samples_at(struct samples *s, int64_t timestamp_us);

/* Adds one. Labels without a value are left out, of two of one name the first stays; their order is changed. */
void samples_add(struct samples *s, struct slice name, struct series_label *labels, int n, double value,
				 enum sample_kind kind);

/* The same, labels as name, value, name, value, ..., SAMPLES_NO_MORE. NAN (not measured) is not added. */
#define SAMPLES_NO_MORE ((const char *) NULL)
void samples_put(struct samples *s, const char *name, double value, enum sample_kind kind, ...)
	__attribute__((sentinel));

/* What is measured of one thing of many (a filesystem, a container): names of its metrics. */
struct sample_metric {
	const char *name;
	enum sample_kind kind;
};

/*
 * Adds the values of one thing, all with its labels: those that are NAN were not measured and are not added; `*sent` gets a bit for each
 * that ever was. Values NULL: the thing has gone, each of those ends. Gauges that are no whole numbers are kept to seven digits.
 */
void samples_put_thing(struct samples *s, const struct sample_metric *metric, int metrics,
					   const double *values, uint32_t *sent, struct series_label *labels, int n);

/* What samples_add() makes of labels: an element of an array literal, valid until the next call. Empty when the database would refuse them. */
struct slice samples_labels(struct samples *s, struct series_label *labels, int n);

/* Adds one whose labels are such an element. */
void samples_add_literal(struct samples *s, struct slice name, struct slice labels, double value,
						 enum sample_kind kind);

/* The last sample of a series: NaN, as remote_write marks what has gone. */
void samples_add_end(struct samples *s, const struct series_entry *e);

/* Hands the rest to the spool. The memory is given back, too. */
void samples_end(struct samples *s);

/* Ends every series of the table that was not seen in its present round, and begins the next. */
void samples_end_missing(struct samples *s, struct series_table *t);

#endif
