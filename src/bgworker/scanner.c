/*
 * The scanner: connects to the maintenance database for some milliseconds, reads from the shared catalog pg_db_role_setting
 * which databases are armed, leaves the answer in a dynamic shared memory segment of the launcher, and ends.
 * What does not belong here: deciding what follows from the answer (launcher.c).
 *
 * Why a process of its own: the launcher has no database, and without one PostgreSQL can't open pg_db_role_setting. Staying connected
 * to a database would block DROP DATABASE and CREATE DATABASE … TEMPLATE there.
 */
#include "postgres.h"

#include "bgworker/scanner.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "bgworker/worker.h"
#include "catalog/pg_db_role_setting.h"
#include "ext/arming.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define FIRST_CAPACITY 256

typedef struct ScanResult {
	bool complete;   /* written last; read only after the scanner has ended */
	uint32 capacity; /* room in databases[] */
	uint32 count;    /* armed databases found, may exceed capacity */
	Oid databases[FLEXIBLE_ARRAY_MEMBER];
} ScanResult;

extern PGDLLEXPORT void observ_scanner_main(Datum main_arg);

static dsm_segment *segment = NULL;
static BackgroundWorkerHandle *handle = NULL;
static uint32 capacity = FIRST_CAPACITY;

bool
observ_scan_start(Oid database)
{
	BackgroundWorker worker;
	ScanResult *result;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool registered;

	Assert(handle == NULL);
	segment = dsm_create(offsetof(ScanResult, databases) + sizeof(Oid) * capacity, 0);
	dsm_pin_mapping(segment);
	result = dsm_segment_address(segment);
	result->complete = false;
	result->capacity = capacity;
	result->count = 0;
	observ_worker_describe(&worker, OBSERV_SCANNER, "observ_scanner_main");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	/* By oid: its configuration can be newer or older than the launcher's. */
	memcpy(worker.bgw_extra, &database, sizeof(database));
	worker.bgw_notify_pid = MyProcPid;
	registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	if (!registered) {
		dsm_detach(segment);
		segment = NULL;
		handle = NULL;
	}
	MemoryContextSwitchTo(old);
	return registered;
}

bool
observ_scan_running(void)
{
	return handle != NULL;
}

ObservScanState
observ_scan_collect(Oid **databases, int *count)
{
	ObservScanState state = OBSERV_SCAN_FAILED;
	const ScanResult *result;
	pid_t pid;

	if (handle == NULL)
		return OBSERV_SCAN_NONE;
	if (GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		return OBSERV_SCAN_RUNNING;
	result = dsm_segment_address(segment);
	if (result->complete && result->count <= result->capacity) {
		*count = (int) result->count;
		*databases = palloc(sizeof(Oid) * (result->count + 1));
		memcpy(*databases, result->databases, sizeof(Oid) * result->count);
		state = OBSERV_SCAN_DONE;
	} else if (result->complete)
		capacity = result->count * 2;
	dsm_detach(segment);
	pfree(handle);
	segment = NULL;
	handle = NULL;
	return state;
}

/* Whether one of the settings is observ.armed with a value that arms this database. */
static bool
settings_arm(ArrayType *settings, Oid database)
{
	static const char prefix[] = "observ.armed=";
	Datum *elements;
	int count;

	deconstruct_array(settings, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++) {
		const char *setting = TextDatumGetCString(elements[i]);

		if (strncmp(setting, prefix, sizeof(prefix) - 1) == 0)
			return observ_armed_value_matches(setting + sizeof(prefix) - 1, database);
	}
	return false;
}

/* Collects the armed databases. Whether they still exist and can be connected to is for the launcher to see. */
static void
scan(void *arg)
{
	ScanResult *result = arg;
	Relation rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan))) {
		Form_pg_db_role_setting form = (Form_pg_db_role_setting) GETSTRUCT(tuple);
		bool isnull;
		Datum settings =
			heap_getattr(tuple, Anum_pg_db_role_setting_setconfig, RelationGetDescr(rel), &isnull);

		if (isnull || OidIsValid(form->setrole) || !OidIsValid(form->setdatabase) ||
			!settings_arm(DatumGetArrayTypeP(settings), form->setdatabase))
			continue;
		if (result->count < result->capacity)
			result->databases[result->count] = form->setdatabase;
		result->count++;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

void
observ_scanner_main(Datum main_arg)
{
	dsm_segment *answer;
	ScanResult *result;
	ErrorData *error;
	Oid database;

	observ_worker_init();
	/* The launcher may have ended meanwhile and its segment with it. */
	answer = dsm_attach(DatumGetUInt32(main_arg));
	if (answer == NULL)
		proc_exit(0);
	dsm_pin_mapping(answer);
	result = dsm_segment_address(answer);
	memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(database));
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	error = observ_in_transaction(scan, result);
	if (error != NULL)
		ReThrowError(error);
	result->complete = true;
	proc_exit(0);
}
