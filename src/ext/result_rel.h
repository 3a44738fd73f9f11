/* A table that rows are put into past SPI, with what the executor wants for its indexes. */
#ifndef OBSERV_EXT_RESULT_REL_H
#define OBSERV_EXT_RESULT_REL_H

#include "nodes/execnodes.h"

/* Makes an open, RowExclusiveLocked table the one target of an executor's state and opens its indexes: ExecCloseIndices() is the caller's. */
extern ResultRelInfo *observ_result_rel(EState *estate, Relation rel);

#endif
