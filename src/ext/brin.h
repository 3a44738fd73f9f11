/* Keeping the BRIN indexes of the newest partitions summarised. */
#ifndef OBSERV_EXT_BRIN_H
#define OBSERV_EXT_BRIN_H

#include "datatype/timestamp.h"

/*
 * Summarises what has filled up since the last call in the partition of observ.<table> that takes rows of `at`. Does nothing while somebody
 * else, say autovacuum, holds the partition. Needs SPI_connect(); runs as the current user, who must own the table.
 */
extern void observ_summarize_newest(const char *table, TimestampTz at);

#endif
