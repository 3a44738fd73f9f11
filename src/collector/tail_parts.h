/*
 * tail_parts.h: what the files of the source `tail` share, and nobody else needs. What each is for: tail.h.
 */
#ifndef OBSERV_COLLECTOR_TAIL_PARTS_H
#define OBSERV_COLLECTOR_TAIL_PARTS_H

#include <sys/stat.h>
#include <sys/types.h>

#include "collector/log.h"
#include "collector/source.h"
#include "collector/tail_mounts.h"
#include "collector/tail_remote.h"
#include "collector/tail_stat.h"
#include "collector/tail_watch.h"
#include "core/log_lines.h"
#include "core/tail_position.h"

#define TAIL_CHUNK_BYTES  65536
#define TAIL_TURN_BYTES   (4 * TAIL_CHUNK_BYTES) /* of one file, before it is another's turn */
#define TAIL_RUN_BYTES    (8 * TAIL_CHUNK_BYTES) /* of all files, before the loop goes on */
#define TAIL_RUN_FILES    256
#define TAIL_MAX_OPEN     64
#define TAIL_MAX_FILES    4096
#define TAIL_RESCAN_MS    5000
#define TAIL_HINTED_MS    1000 /* between two scans, when inotify asks for one */
#define TAIL_HOLD_OFF_MS  500  /* between two looks at a file that is being written */
#define TAIL_ACTIVE_MS    1000
#define TAIL_QUIET_MS     5000
#define TAIL_PARTIAL_MS   5000 /* an end without newline of a file that is gone */
#define TAIL_DELETED_MS   60000
#define TAIL_RENAMED_MS   600000
#define TAIL_COPY_WAIT_MS 60000

/* A point in a file, and what lies before it. */
struct tail_spot {
	int64_t offset;
	struct tail_print mark;
	bool skipping; /* see struct tail_position */
};

enum tail_state {
	TAIL_READING,
	TAIL_WAITING, /* where it begins depends on the database's positions */
	TAIL_COPY,    /* looks like a copy of a file that has not been truncated yet */
	TAIL_IGNORED, /* compressed */
};

struct tail_file {
	char *path; /* where it was seen last */
	int fd, watch;
	int source; /* index of config->logs */
	enum tail_state state;
	bool gone;   /* its path leads elsewhere, or nowhere: read to its end, then closed */
	bool final;  /* a copy, or gone: nobody completes its last line */
	bool at_end; /* all there was has been read */
	bool remote; /* on a filesystem that may hang: has no descriptor, `piece` while one was answered */
	bool wanted; /* it is its turn to be asked for */
	const struct tail_piece *piece;
	unsigned scan;
	struct tail_stat stat; /* at the last look */
	int64_t first_size;    /* when it was first seen: where a TAIL_WAITING one may begin */
	int64_t first_mtime_us;
	int64_t copied; /* TAIL_COPY: so much of it was seen in its original */

	struct tail_position at;     /* reading stands here; the lines before it were given to `lines` */
	struct tail_spot safe;       /* nothing before this is held back in `lines` */
	int64_t stored;              /* offset of the position in the spool; -1: none */
	struct tail_position before; /* where it stood when it was truncated; offset 0: it was not */
	int64_t before_ms;

	struct log_lines lines;
	char *cut; /* beginning of a line that is too long, until its end is found */
	size_t cut_len;
	int64_t cut_bytes;
	struct tail_spot cut_start;

	int64_t looked_ms, due_ms,
		pause_ms; /* last look, next look, and how long after it the next when nothing is new */
	int64_t grown_ms, adopted_ms;
	int refusals; /* of the spool, one after the other */
};

struct tail_pattern {
	char *pattern, *level;
	bool marked;  /* in the spool: it has been looked at by a run before */
	bool scanned; /* in this run */
	bool missing; /* said that nothing matches */
	bool cut;     /* remote: said that there are more files than the helper can list */
	int32_t zone_s;
	bool zone_given;
	bool remote;       /* on a filesystem that may hang */
	int64_t listed_ms; /* remote: when it was asked for */
	int files;
	int odd; /* matches that are no regular files */
};

/* A position of a former run, until its file is found. */
struct tail_stored {
	struct tail_position position;
	char *path;
	bool used;
};

struct tail {
	const struct source_env *env;
	struct tail_pattern *pattern;
	int patterns;
	struct tail_file **file;
	int files, room, open;
	struct tail_stored *stored;
	int stored_count;
	bool database_known, first_scan_done;

	int cursor; /* whose turn it is */
	unsigned scan;
	int lookup; /* where the last file was found: they come in the same order again */
	int64_t scan_ms, scanned_us, zones_ms; /* last scan, also by the wall clock */
	bool scan_hinted, room_missing;
	int scan_problems;

	struct log_workspace space;
	char *buffer;
	size_t buffer_size;
	struct tail_watch watch;
	struct tail_mounts mounts;
	struct tail_remote remote;

	/* the group that is being written, begun by its first record */
	bool group_open, group_entries;
	int group_records;
	size_t group_bytes;
	char source[512]; /* LINE_SOURCE of the file whose turn it is, see begin_turn() */

	int64_t now_ms;
	int64_t lines_read, lines_cut, truncations, data_lost;
	struct problem open_problem, list_problem, limit_problem, spool_problem;
};

/* --- tail_file.c */
struct tail_file *tail_file_new(struct tail *t, int source, const char *path, const struct tail_stat *st);
/* Closes and frees; the position stays in the spool unless `forget`. */
void tail_file_remove(struct tail *t, struct tail_file *f, bool forget);
struct tail_file *tail_file_find(struct tail *t, uint64_t dev, uint64_t ino);
/* Opens a local file, closing another one when there are too many. 0, or an errno; ESTALE: the path leads elsewhere. */
int tail_file_open(struct tail *t, struct tail_file *f);
void tail_file_close(struct tail *t, struct tail_file *f);
/* Reads up to `size` bytes; fewer at the end of the file. -1: errno. */
ssize_t tail_file_pread(const struct tail_file *f, char *out, size_t size, int64_t offset);
/* Whether the file still has what the position remembers. */
bool tail_file_verify(const struct tail_file *f, const struct tail_position *p);
/* Reading begins at that offset of the file, which nothing is known about. */
void tail_file_begin(struct tail *t, struct tail_file *f, int64_t offset);
/* Reading goes on where the position stands. */
void tail_file_resume(struct tail *t, struct tail_file *f, const struct tail_position *p);
/* The offset of the last line's beginning: a first start is at the end, but not inside a line. */
int64_t tail_file_last_line(const struct tail_file *f, int64_t size);

/* --- tail_read.c */
/* Reads what is new, at most TAIL_TURN_BYTES; returns the bytes read. Sets due_ms. */
int64_t tail_read(struct tail *t, struct tail_file *f);
/* The same for a piece of a remote file, see tail_remote.h. */
void tail_read_piece(struct tail *t, struct tail_file *f);
/* Takes what is held back and has waited long enough; due_ms is no later than the moment when more of it has. */
void tail_read_held(struct tail *t, struct tail_file *f);
/* Takes what is held back as finished. */
void tail_read_finish(struct tail *t, struct tail_file *f);

/* --- tail_group.c */
/* The next records are one group; nothing happens when one is open. */
void tail_group_begin(struct tail *t);
/* Writes the position of the file into the open group. */
void tail_put_position(struct tail *t, struct tail_file *f);
void tail_put_mark(struct tail *t, const char *key, const char *state);
bool tail_group_end(struct tail *t);
void tail_put_event(struct tail *t, const char *kind, const char *message, const char *data);

/* --- tail_adopt.c */
/* Takes up a file that is not followed yet, at the end of a path that a pattern means. */
void tail_adopt(struct tail *t, int source, const char *path, const struct tail_stat *st);
/* The same for one that was listed by the helper, with a piece of it. */
void tail_adopt_remote(struct tail *t, const struct tail_arrival *a, const struct tail_piece *piece);
/* Whether OTHER is what a rotation makes of PATH, in its directory. */
bool tail_is_rotated(const char *path, const char *other);
/* Whether it has the name of a rotated file, so that what is in it may be known from another one. */
bool tail_may_be_copy(const struct tail *t, const struct tail_file *f);
/* Decides about files that wait. */
void tail_adopt_waiting(struct tail *t);
/*
 * Looks for what rotation made of the file at `path`: files that a position is known of, copies, and files that were written since
 * `since_us` (INT64_MAX: none). They are read to their end.
 */
void tail_adopt_siblings(struct tail *t, int source, const char *path, int64_t since_us);
void tail_load_stored(struct tail *t);
void tail_drop_stored(struct tail *t);
void tail_adopt_stored(struct tail *t);

/* --- tail_find.c */
/* Looks at all patterns; files that are new are adopted, files that are not there any more are gone. */
void tail_scan(struct tail *t);
/* What is wrong with a path; said once until all is well. */
void tail_list_problem(struct tail *t, const char *path, const char *what, int error);
/* All of a pattern's files were looked at: says so in the open group, once ever. */
void tail_pattern_done(struct tail *t, int source);
/* Says once that a pattern means nothing. */
void tail_say_missing(struct tail *t, int source);
/* A file was found by pattern `source`. */
void tail_found(struct tail *t, int source, const char *path, const struct tail_stat *st);
/* Lets go of what is gone and was read to its end. */
void tail_close_gone(struct tail *t);

/* --- tail.c */
/* The name under which it is kept that a pattern was looked at. */
void tail_pattern_key(const struct tail_pattern *p, char *key, size_t size);

#endif
