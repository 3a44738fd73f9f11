/*
 * The launcher: one process without a database that keeps one scheduler running in each armed database.
 * What does not belong here: what schedulers do (scheduler.c), how armed databases are found (scanner.c).
 *
 * It compares what should run with what runs, each time anew (level, not edge): a lost signal costs at most a minute, and a launcher
 * that was restarted finds the schedulers of the one before it.
 */
#include "postgres.h"

#include "bgworker/launcher.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "bgworker/databases.h"
#include "bgworker/scanner.h"
#include "bgworker/worker.h"
#include "catalog/pg_authid.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#define RESTART_SECONDS  5      /* of the launcher itself, by the postmaster */
#define HEALTHY_MS       5000   /* a scheduler that lived so long has started well */
#define BACKOFF_LIMIT_MS 300000 /* between attempts to start a scheduler that ends at once */
#define SLOT_LIMIT_MS    30000  /* between attempts when no worker slot is free */
#define ADOPTED_POLL_MS  5000 /* the end of a scheduler that another launcher started is not reported to us */
#define BUSY_POLL_MS     1000 /* database locked by a command, scheduler asked to leave */
#define STOP_PATIENCE_MS 5000

/* One database that has, or should have, a scheduler. */
typedef struct Entry {
	Oid database;
	char name[NAMEDATALEN];
	BackgroundWorkerHandle *handle; /* NULL: not started by this launcher */
	int64 started_at;
	int64 next_start;
	int failures; /* attempts in a row that ended before HEALTHY_MS */
	ObservLogState said;
} Entry;

typedef struct Launcher {
	MemoryContext context; /* entries, armed */
	List *entries;
	bool armed_known; /* a scan has succeeded since start */
	Oid *armed;
	int armed_count;
	int64 next_scan;
	int scan_failures;
	int64 next_look; /* earliest time at which something is due; set anew by each turn */
	bool stop_requested;
	bool dynamic;
	ObservLogState said_scan, said_names, said_slots, said_role, said_error;
} Launcher;

extern PGDLLEXPORT void observ_launcher_main(Datum main_arg);

void
observ_launcher_describe(BackgroundWorker *worker, bool dynamic)
{
	observ_worker_describe(worker, OBSERV_LAUNCHER, "observ_launcher_main");
	worker->bgw_restart_time = RESTART_SECONDS;
	worker->bgw_main_arg = BoolGetDatum(dynamic);
}

bool
observ_cluster_lock(int key, LOCKMODE mode, bool wait)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, InvalidOid, OBSERV_LOCK_NAMESPACE, key, OBSERV_LOCK_CLASS);
	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

static void
look_no_later_than(Launcher *l, int64 at)
{
	l->next_look = Min(l->next_look, at);
}

/* ---- which databases should have a scheduler */

/* The databases that observ.databases names. Says once what is wrong with the list. */
static List *
listed_databases(Launcher *l, const List *connectable)
{
	List *wanted = NIL;
	List *names;
	ListCell *cell;
	StringInfoData missing;

	if (!SplitIdentifierString(pstrdup(observ_databases), ',', &names)) {
		if (observ_log_state_changes(&l->said_names, "syntax"))
			ereport(LOG, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						  errmsg("list syntax of observ.databases is invalid"),
						  errdetail("The value is %s.", observ_databases),
						  errhint("Write names separated by commas, in double quotes where needed.")));
		return NIL;
	}
	initStringInfo(&missing);
	foreach (cell, names) {
		const ObservDatabase *found = observ_database_by_name(connectable, lfirst(cell));

		if (found != NULL)
			wanted = lappend(wanted, unconstify(ObservDatabase *, found));
		else
			appendStringInfo(&missing, "%s\"%s\"", missing.len > 0 ? ", " : "", (char *) lfirst(cell));
	}
	if (observ_log_state_changes(&l->said_names, missing.len > 0 ? missing.data : NULL))
		ereport(LOG, (errcode(ERRCODE_UNDEFINED_DATABASE),
					  errmsg("observ.databases names databases that observ can't work in: %s", missing.data),
					  errdetail("They do not exist, are templates, or do not allow connections."),
					  errhint("Correct observ.databases, or create them; observ looks again every minute.")));
	return wanted;
}

static List *
armed_databases(const Launcher *l, const List *connectable)
{
	List *wanted = NIL;

	for (int i = 0; i < l->armed_count; i++) {
		const ObservDatabase *found = observ_database_by_oid(connectable, l->armed[i]);

		if (found != NULL)
			wanted = lappend(wanted, unconstify(ObservDatabase *, found));
	}
	return wanted;
}

static bool
list_mode(void)
{
	return observ_databases[0] != '\0';
}

/* ---- scanning */

static void
scan_failed(Launcher *l, const char *key, const char *detail, const char *hint)
{
	if (observ_log_state_changes(&l->said_scan, key))
		ereport(LOG, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					  errmsg("observ can't find out which databases are armed"), errdetail("%s", detail),
					  errhint("%s", hint)));
	l->scan_failures++;
	l->next_scan = observ_monotonic_ms() + observ_backoff_ms(l->scan_failures, SLOT_LIMIT_MS);
}

static void
start_scan(Launcher *l, const List *connectable)
{
	const ObservDatabase *maintenance = observ_database_by_name(connectable, observ_maintenance_database);

	if (maintenance == NULL)
		scan_failed(l, "database",
					psprintf("Database \"%s\" does not exist or does not allow connections.",
							 observ_maintenance_database),
					"Create it, or set observ.maintenance_database to a database that always exists, or name "
					"the databases to "
					"work in in observ.databases.");
	else if (!observ_database_is_free(maintenance->oid))
		l->next_scan = observ_monotonic_ms() + BUSY_POLL_MS;
	else if (observ_scan_start(maintenance->oid))
		l->next_scan = observ_monotonic_ms() + OBSERV_RESCAN_MS;
	else
		scan_failed(l, "slots", "No background worker slot is free.",
					"Raise max_worker_processes and restart the server.");
}

static void
collect_scan(Launcher *l)
{
	MemoryContext old = MemoryContextSwitchTo(l->context);
	Oid *databases;
	int count;

	switch (observ_scan_collect(&databases, &count)) {
	case OBSERV_SCAN_DONE:
		if (l->armed != NULL)
			pfree(l->armed);
		l->armed = databases;
		l->armed_count = count;
		l->armed_known = true;
		l->scan_failures = 0;
		observ_log_state_changes(&l->said_scan, NULL);
		break;
	case OBSERV_SCAN_FAILED:
		scan_failed(l, "ended", "The scanner ended without an answer.",
					"The server's log says why, just before this line.");
		break;
	case OBSERV_SCAN_NONE:
	case OBSERV_SCAN_RUNNING:
		break;
	}
	MemoryContextSwitchTo(old);
}

/* ---- schedulers */

static Entry *
entry_of(Launcher *l, const ObservDatabase *database)
{
	Entry *entry;
	ListCell *cell;
	MemoryContext old;

	foreach (cell, l->entries) {
		entry = lfirst(cell);
		if (entry->database == database->oid) {
			strlcpy(entry->name, database->name, NAMEDATALEN);
			return entry;
		}
	}
	old = MemoryContextSwitchTo(l->context);
	entry = palloc0(sizeof(*entry));
	entry->database = database->oid;
	strlcpy(entry->name, database->name, NAMEDATALEN);
	l->entries = lappend(l->entries, entry);
	MemoryContextSwitchTo(old);
	return entry;
}

/* A scheduler of ours has ended: when to try again. The slot that it leaves is for the scanner first, if that found none. */
static void
note_end(Launcher *l, Entry *entry)
{
	int64 now = observ_monotonic_ms();

	pfree(entry->handle);
	entry->handle = NULL;
	if (l->scan_failures > 0) {
		l->next_scan = now;
		look_no_later_than(l, now);
	}
	if (now - entry->started_at >= HEALTHY_MS) {
		entry->failures = 0;
		observ_log_state_changes(&entry->said, NULL);
	} else
		entry->failures++;
	entry->next_start = now + observ_backoff_ms(entry->failures, BACKOFF_LIMIT_MS);
	if (entry->failures > 2 && observ_log_state_changes(&entry->said, "early"))
		ereport(LOG,
				(errmsg("scheduler of observ for database \"%s\" ends right after its start", entry->name),
				 errdetail("It is tried again after a pause that grows to %d s.", BACKOFF_LIMIT_MS / 1000),
				 errhint("The server's log says why it ends.")));
}

/* Whether the entry's scheduler runs or is about to; updates the entry when it has ended. */
static bool
is_running(Launcher *l, Entry *entry)
{
	pid_t pid;

	if (entry->handle != NULL) {
		if (GetBackgroundWorkerPid(entry->handle, &pid) != BGWH_STOPPED)
			return true;
		note_end(l, entry);
	}
	if (observ_find_process(OBSERV_SCHEDULER, entry->database) == 0)
		return false;
	look_no_later_than(l, observ_monotonic_ms() + ADOPTED_POLL_MS);
	return true;
}

/* Finds the role to connect as; InvalidOid: the bootstrap superuser. False when it can't be used, which is said once. */
static bool
worker_role(Launcher *l, Oid *role)
{
	HeapTuple tuple;
	const char *problem = NULL;

	*role = InvalidOid;
	if (observ_worker_role[0] != '\0') {
		tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(observ_worker_role));
		if (!HeapTupleIsValid(tuple))
			problem = "does not exist";
		else {
			Form_pg_authid form = (Form_pg_authid) GETSTRUCT(tuple);

			*role = form->oid;
			if (!form->rolcanlogin)
				problem = "is not permitted to log in";
			ReleaseSysCache(tuple);
		}
	}
	if (observ_log_state_changes(&l->said_role, problem))
		ereport(
			LOG,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("role \"%s\" of observ.worker_role %s", observ_worker_role, problem),
			 errhint("Create it with LOGIN, or clear observ.worker_role; observ looks again every minute.")));
	return problem == NULL;
}

static void
start_scheduler(Launcher *l, Entry *entry, Oid role)
{
	BackgroundWorker worker;
	MemoryContext old = MemoryContextSwitchTo(l->context);

	observ_worker_describe(&worker, OBSERV_SCHEDULER, "observ_scheduler_main");
	observ_worker_settle(&worker, entry->database, entry->name, role);
	entry->started_at = observ_monotonic_ms();
	if (RegisterDynamicBackgroundWorker(&worker, &entry->handle))
		observ_log_state_changes(&l->said_slots, NULL);
	else {
		entry->handle = NULL;
		entry->failures++;
		entry->next_start = entry->started_at + observ_backoff_ms(entry->failures, SLOT_LIMIT_MS);
		if (observ_log_state_changes(&l->said_slots, "slots"))
			ereport(LOG,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no background worker slot is free for observ in database \"%s\"", entry->name),
					 errhint("Raise max_worker_processes (one for the launcher, two for each database, one "
							 "spare) and "
							 "restart the server.")));
	}
	MemoryContextSwitchTo(old);
}

static void
start_missing(Launcher *l, const List *wanted)
{
	ListCell *cell;
	Oid role;

	if (wanted == NIL || !worker_role(l, &role))
		return;
	foreach (cell, wanted) {
		Entry *entry = entry_of(l, lfirst(cell));

		if (is_running(l, entry))
			continue;
		if (observ_monotonic_ms() >= entry->next_start) {
			if (!observ_database_is_free(entry->database))
				entry->next_start = observ_monotonic_ms() + BUSY_POLL_MS;
			else
				start_scheduler(l, entry, role);
		}
		if (entry->handle == NULL)
			look_no_later_than(l, entry->next_start);
	}
}

/* Asks processes of that type in databases that are not wanted to leave after what they are at. */
static void
send_home(Launcher *l, const char *bgw_type, const List *wanted)
{
	ObservProcess *running;
	int count = observ_list_processes(bgw_type, &running);

	for (int i = 0; i < count; i++) {
		/* Not connected yet: look again when it is. */
		if (OidIsValid(running[i].database)) {
			if (observ_database_by_oid(wanted, running[i].database) != NULL)
				continue;
			observ_signal_processes(bgw_type, running[i].database, SIGUSR2);
		}
		look_no_later_than(l, observ_monotonic_ms() + BUSY_POLL_MS);
	}
}

/* Ends what runs in databases that are not wanted, and forgets their entries. */
static void
retire_unwanted(Launcher *l, const List *wanted)
{
	ListCell *cell;

	send_home(l, OBSERV_SCHEDULER, wanted);
	send_home(l, OBSERV_NOTIFIER, wanted);
	foreach (cell, l->entries) {
		Entry *entry = lfirst(cell);

		if (observ_database_by_oid(wanted, entry->database) != NULL || is_running(l, entry))
			continue;
		l->entries = foreach_delete_current(l->entries, cell);
		pfree(entry);
	}
}

/* ---- the loop */

/* One comparison of what should run with what runs. */
static void
turn(void *arg)
{
	Launcher *l = arg;
	List *connectable = observ_databases_connectable();
	List *wanted = NIL;

	l->stop_requested = l->dynamic && !observ_cluster_lock(OBSERV_LOCK_STOP_WORKERS, ShareLock, false);
	if (l->stop_requested)
		return;
	if (observ_enabled && list_mode())
		wanted = listed_databases(l, connectable);
	else if (observ_enabled) {
		if (!observ_scan_running() && observ_monotonic_ms() >= l->next_scan)
			start_scan(l, connectable);
		look_no_later_than(l, l->next_scan);
		if (!l->armed_known)
			return;
		wanted = armed_databases(l, connectable);
	}
	retire_unwanted(l, wanted);
	start_missing(l, wanted);
}

/* observ.stop_workers(): takes schedulers and notifiers along and leaves; exit code 0 makes the postmaster forget us. */
static void
stop_for_good(void)
{
	int64 deadline = observ_monotonic_ms() + STOP_PATIENCE_MS;
	int signal = SIGUSR2;

	while (observ_signal_residents(InvalidOid, signal) > 0) {
		if (observ_monotonic_ms() >= deadline)
			signal = SIGTERM;
		observ_worker_wait(observ_monotonic_ms() + 100);
	}
	ereport(LOG, (errmsg("observ launcher was stopped by observ.stop_workers()")));
	proc_exit(0);
}

/* Two launchers can meet when observ.start_workers() is called while one waits to be restarted: the older stays. */
static void
leave_when_doubled(const Launcher *l)
{
	ObservProcess *launchers;
	int count = observ_list_processes(OBSERV_LAUNCHER, &launchers);

	for (int i = 0; i < count && l->dynamic; i++)
		if (launchers[i].pid < MyProcPid)
			proc_exit(0);
}

/* Somebody says that something changed, or the configuration did: forget every pause. */
static void
start_afresh(Launcher *l)
{
	ListCell *cell;

	l->next_scan = 0;
	foreach (cell, l->entries) {
		Entry *entry = lfirst(cell);

		entry->failures = 0;
		entry->next_start = 0;
	}
}

void
observ_launcher_main(Datum main_arg)
{
	MemoryContext turn_context;
	Launcher *l = MemoryContextAllocZero(TopMemoryContext, sizeof(Launcher));
	ErrorData *error;

	observ_worker_init();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	l->context = AllocSetContextCreate(TopMemoryContext, "observ launcher", ALLOCSET_DEFAULT_SIZES);
	l->dynamic = DatumGetBool(main_arg);
	turn_context = AllocSetContextCreate(TopMemoryContext, "observ launcher turn", ALLOCSET_DEFAULT_SIZES);
	pgstat_report_activity(STATE_IDLE, NULL);
	for (;;) {
		MemoryContextReset(turn_context);
		MemoryContextSwitchTo(turn_context);
		leave_when_doubled(l);
		if (observ_worker_was_poked() || observ_worker_config_changed())
			start_afresh(l);
		collect_scan(l);
		l->next_look = observ_monotonic_ms() + OBSERV_RESCAN_MS;
		error = observ_in_transaction(turn, l);
		if (l->stop_requested)
			stop_for_good();
		if (observ_log_state_changes(&l->said_error, error != NULL ? error->message : NULL))
			ereport(LOG, (errcode(error->sqlerrcode),
						  errmsg("observ launcher could not look after its databases: %s", error->message)));
		if (error != NULL)
			l->next_look = Min(l->next_look, observ_monotonic_ms() + ADOPTED_POLL_MS);
		observ_worker_wait(l->next_look);
	}
}
