/*
 * BRIN upkeep. "autosummarize" leaves it to autovacuum, which comes by once a minute; by then a large fleet has written a million rows that
 * every refresh has to look through because their pages have no summary. The refresh itself is the one who knows.
 */
#include "postgres.h"

#include "ext/brin.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Pages that a partition must have grown by: a few of the 32-page ranges of the indexes. */
#define GROWN_PAGES 128

typedef struct Seen {
	Oid partition; /* the key */
	BlockNumber pages;
} Seen;

/* How large each partition was when this backend summarised it last. */
static Seen *
seen(Oid partition)
{
	static HTAB *table = NULL;
	bool found;
	Seen *entry;

	if (table == NULL) {
		HASHCTL ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Seen), .hcxt = TopMemoryContext};

		table = hash_create("observ summarised partitions", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(table, &partition, HASH_ENTER, &found);
	if (!found)
		entry->pages = 0;
	return entry;
}

static void
summarize(Relation partition)
{
	List *indexes = RelationGetIndexList(partition);
	ListCell *cell;

	foreach (cell, indexes) {
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		bool brin = index->rd_rel->relam == BRIN_AM_OID;

		index_close(index, NoLock);
		if (brin) {
			Oid types[] = {REGCLASSOID};
			Datum oid = ObjectIdGetDatum(lfirst_oid(cell));

			observ_spi(SPI_OK_SELECT, "SELECT brin_summarize_new_values($1)", 1, types, &oid, NULL);
		}
	}
	list_free(indexes);
}

void
observ_summarize_newest(const char *table, TimestampTz at)
{
	Oid oid = observ_partition_of(table, at);
	Relation partition;
	Seen *last;
	BlockNumber pages;

	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, ShareUpdateExclusiveLock))
		return;
	partition = table_open(oid, NoLock);
	pages = RelationGetNumberOfBlocks(partition);
	last = seen(oid);
	if (pages < last->pages)
		last->pages = 0; /* truncated since */
	if (pages - last->pages >= GROWN_PAGES) {
		summarize(partition);
		last->pages = pages;
	}
	table_close(partition, NoLock);
}
