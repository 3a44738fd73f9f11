/* The least that ExecInsertIndexTuples() and constraints need of an executor. What does not belong here: rows. */
#include "postgres.h"

#include "ext/result_rel.h"

#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/rel.h"

ResultRelInfo *
observ_result_rel(EState *estate, Relation rel)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	ResultRelInfo *info = makeNode(ResultRelInfo);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	ExecInitRangeTable(estate, list_make1(rte));
	InitResultRelInfo(info, rel, 1, NULL, 0);
	ExecOpenIndices(info, false);
	return info;
}
