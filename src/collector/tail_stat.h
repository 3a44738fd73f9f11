/*
 * tail_stat.h: the part of stat() that counts for a log file; what the helper and the source `logs` say to each other.
 */
#ifndef OBSERV_COLLECTOR_TAIL_STAT_H
#define OBSERV_COLLECTOR_TAIL_STAT_H

#include <stdint.h>
#include <sys/stat.h>

struct tail_stat {
	uint64_t dev, ino;
	int64_t size, mtime_ns;
	uint32_t mode, links;
	int64_t disk_bytes;
};

static inline struct tail_stat
tail_stat_of(const struct stat *s)
{
	return (struct tail_stat){.dev = s->st_dev,
							  .ino = s->st_ino,
							  .size = s->st_size,
							  .mtime_ns = (int64_t) s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec,
							  .mode = s->st_mode,
							  .links = (uint32_t) s->st_nlink,
							  .disk_bytes = (int64_t) s->st_blocks * 512};
}

/*
 * ASK_LOG_LIST, argument: a pattern. The answer is a row of these, each followed by the path with its zero byte. An empty path at the
 * end says that there was no room for more.
 */
struct tail_listed {
	struct tail_stat stat;
	int32_t rotated; /* not what the pattern means, but what rotation makes of its file */
	uint32_t path_bytes;
};

/* ASK_LOG_READ, argument: "FROM PATH". The answer is one of these, then the head, then as many bytes from FROM on as have room. */
struct tail_piece {
	struct tail_stat stat;
	int64_t from;
	uint32_t head_bytes, bytes;
};

#endif
