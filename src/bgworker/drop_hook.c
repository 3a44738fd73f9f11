/*
 * DROP EXTENSION observ takes the setting observ.armed along, which no dependency ties to the extension.
 * What does not belong here: making a running job let go of the extension (utility_hook.c).
 */
#include "postgres.h"

#include "bgworker/hooks.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_extension.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"

static object_access_hook_type previous = NULL;

static void
forget_arming(void)
{
	VariableSetStmt *reset = makeNode(VariableSetStmt);
	Oid user;
	int context;

	reset->kind = VAR_RESET;
	reset->name = "observ.armed";
	/* The setting is a superuser's; who may drop the extension may have it removed. */
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	AlterSetting(MyDatabaseId, InvalidOid, reset);
	SetUserIdAndSecContext(user, context);
	observ_wake_workers_at_commit();
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous)
		previous(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == ExtensionRelationId && object_id == observ_extension_oid())
		forget_arming();
}

void
observ_drop_hook_install(void)
{
	previous = object_access_hook;
	object_access_hook = on_object_access;
}
