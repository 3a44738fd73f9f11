/*
 * Finding the columns and indexes of a partition of observ.log_entries. What does not belong here: using them (log_leaf.c).
 *
 * A search of a rare word opens hundreds of partitions; looking at every index of each takes longer than looking the word up. So shapes are
 * remembered until PostgreSQL says that the partition changed.
 */
#include "postgres.h"

#include "ext/log_shape.h"

#include "access/genam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "ext/spi_util.h"
#include "nodes/primnodes.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static HTAB *shapes = NULL;

/* Called at any time that locks are taken: entries are only marked. */
static void
forget(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	ObservLogShape *shape;

	if (OidIsValid(relid)) {
		shape = hash_search(shapes, &relid, HASH_FIND, NULL);
		if (shape != NULL)
			shape->known = false;
		return;
	}
	hash_seq_init(&seq, shapes);
	while ((shape = hash_seq_search(&seq)) != NULL)
		shape->known = false;
}

static ObservLogShape *
remembered(Oid partition)
{
	bool found;
	ObservLogShape *shape;

	if (shapes == NULL) {
		HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(ObservLogShape), .hcxt = TopMemoryContext};

		shapes = hash_create("observ log partitions", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	}
	shape = hash_search(shapes, &partition, HASH_ENTER, &found);
	if (!found)
		shape->known = false;
	return shape;
}

static void
find_columns(Relation rel, ObservLogColumns *columns)
{
	columns->id = observ_column(rel, "id", INT8OID);
	columns->timestamp = observ_column(rel, "timestamp", TIMESTAMPTZOID);
	columns->vps_name = observ_column(rel, "vps_name", TEXTOID);
	columns->app_name = observ_column(rel, "app_name", TEXTOID);
	columns->level = observ_column(rel, "level", TEXTOID);
	columns->message = observ_column(rel, "message", TEXTOID);
	columns->context = observ_column(rel, "context", JSONBOID);
	columns->logger = observ_column(rel, "logger", TEXTOID);
	columns->source = observ_column(rel, "source", TEXTOID);
	columns->received_at = observ_column(rel, "received_at", TIMESTAMPTZOID);
}

/* Whether it is a plain btree that begins with these columns, ascending. */
static bool
is_btree(Relation index, AttrNumber first, AttrNumber second)
{
	return index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indnkeyatts >= 2 &&
		   index->rd_index->indkey.values[0] == first && index->rd_index->indkey.values[1] == second &&
		   (index->rd_indoption[0] & INDOPTION_DESC) == 0 && (index->rd_indoption[1] & INDOPTION_DESC) == 0;
}

/* Whether it indexes observ_data._log_vector(message, level, app_name). */
static bool
is_words(Relation index, const ObservLogColumns *columns)
{
	AttrNumber wanted[] = {columns->message, columns->level, columns->app_name};
	FuncExpr *call;
	char *name;

	if (index->rd_rel->relam != GIN_AM_OID || index->rd_index->indnkeyatts != 1 ||
		index->rd_index->indkey.values[0] != 0)
		return false;
	call = linitial(RelationGetIndexExpressions(index));
	if (!IsA(call, FuncExpr) || list_length(call->args) != lengthof(wanted))
		return false;
	for (size_t i = 0; i < lengthof(wanted); i++)
		if (!IsA(list_nth(call->args, i), Var) || ((Var *) list_nth(call->args, i))->varattno != wanted[i])
			return false;
	name = get_func_name(call->funcid);
	return name != NULL && strcmp(name, "_log_vector") == 0 &&
		   get_func_namespace(call->funcid) == get_namespace_oid("observ_data", true);
}

static bool
is_arrival(Relation index, const ObservLogColumns *columns)
{
	return index->rd_rel->relam == BRIN_AM_OID && index->rd_index->indkey.values[0] == columns->received_at;
}

/* The index of the shape that this one can serve as, NULL: none. */
static Oid *
place_of(Relation index, ObservLogShape *shape)
{
	const ObservLogColumns *c = &shape->columns;

	if (!index->rd_index->indisvalid || RelationGetIndexPredicate(index) != NIL)
		return NULL;
	if (is_btree(index, c->timestamp, c->id))
		return &shape->by_time;
	if (is_btree(index, c->vps_name, c->timestamp))
		return &shape->by_vps;
	if (is_words(index, c))
		return &shape->by_words;
	return is_arrival(index, c) ? &shape->by_arrival : NULL;
}

/* The first ones that will do; without them a search still finds everything, in more time. */
static void
find_indexes(Relation rel, ObservLogShape *shape)
{
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	shape->by_time = shape->by_vps = shape->by_words = shape->by_arrival = InvalidOid;
	foreach (cell, indexes) {
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		Oid *place = place_of(index, shape);

		if (place != NULL && !OidIsValid(*place))
			*place = lfirst_oid(cell);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
}

const ObservLogShape *
observ_log_shape(Relation rel)
{
	Oid partition = RelationGetRelid(rel);
	ObservLogShape *shape = remembered(partition);
	ObservLogShape found = {.partition = partition};

	if (shape->known)
		return shape;
	find_columns(rel, &found.columns);
	/* A change that is heard of while indexes are being opened takes this back. */
	shape->known = true;
	find_indexes(rel, &found);
	found.known = shape->known;
	*shape = found;
	return shape;
}
