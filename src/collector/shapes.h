/*
 * shapes.h: names, labels and kinds of scrapes that the database knows already, so that only their values are sent.
 *
 * Belongs here: remembering shapes, finding one that a scrape fits into, its values as text.
 * Does not belong here: what is sent when (writer_put.h), the database's memory of shapes (observ.sample_shapes).
 *
 * Nothing here has to be right about the database: it says so when it does not know a shape, and then all are forgotten and sent again.
 */
#ifndef OBSERV_COLLECTOR_SHAPES_H
#define OBSERV_COLLECTOR_SHAPES_H

#include "common/strbuf.h"
#include "core/record.h"

#define SHAPES_MAX  32           /* the database keeps twice as many */
#define SHAPE_BYTES (32 * 1024)  /* of one; a scrape that is larger has none */
#define SHAPES_ROOM (128 * 1024) /* of all */

struct shape {
	uint64_t hash;
	uint64_t used, made; /* in which batch: the last, the first */
	struct slice names, labels, kinds;
	char *text; /* where these lie */
	size_t size;
};

struct shape_table {
	struct shape shape[SHAPES_MAX];
	int count;
	size_t size;
	uint64_t batch;
};

enum shape_use {
	SHAPE_KNOWN, /* the hash and the values say it all */
	SHAPE_FULL,  /* names, labels and kinds are to be sent with them; known from the next batch on */
	SHAPE_NONE   /* no scrape as samples.h makes them, or too large: has no shape */
};

/* The scrapes that come now are of another batch: what was sent in full in the last one is known. */
void shapes_begin_batch(struct shape_table *t);

/*
 * How a record of kind RECORD_SAMPLES is sent. Appends its values to `values`, separated by semicolons; nothing stands for a sample of
 * the shape that this scrape does not have.
 */
enum shape_use shapes_use(struct shape_table *t, const struct record *r, uint64_t *hash,
						  struct strbuf *values);

/* Forgets them all. */
void shapes_forget(struct shape_table *t);

#endif
