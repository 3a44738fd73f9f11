/* The scanner: a short-lived worker that reads which databases are armed. The launcher's side of it. */
#ifndef OBSERV_BGWORKER_SCANNER_H
#define OBSERV_BGWORKER_SCANNER_H

typedef enum ObservScanState {
	OBSERV_SCAN_NONE,    /* none is under way */
	OBSERV_SCAN_RUNNING, /* look again when the latch is set */
	OBSERV_SCAN_DONE,    /* the result was handed out */
	OBSERV_SCAN_FAILED   /* it ended without a result; its own log line says why */
} ObservScanState;

/* Starts a scan in that database; false when no background worker slot is free. None must be under way. Needs a transaction. */
extern bool observ_scan_start(Oid database);

/* Whether a scan is under way. */
extern bool observ_scan_running(void);

/*
 * Where the scan is. With OBSERV_SCAN_DONE, *databases receives the armed databases, palloc'd in the current context. A scan
 * that found more than fits counts as failed; the next one has more room.
 */
extern ObservScanState observ_scan_collect(Oid **databases, int *count);

#endif
