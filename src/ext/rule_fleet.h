/* VPSs and applications that observ knows, for rules about what does not come. */
#ifndef OBSERV_EXT_RULE_FLEET_H
#define OBSERV_EXT_RULE_FLEET_H

#include "ext/evaluation.h"
#include "ext/vps_key.h"

typedef struct ObservFleetMember {
	ObservVpsKey key; /* the names end with a null byte */
} ObservFleetMember;

typedef struct ObservFleet {
	HTAB *members; /* of ObservFleetMember: VPS and application, as in observ.fleet_summary */
	HTAB *vps;     /* of ObservFleetMember: VPSs alone */
} ObservFleet;

/* Reads observ.fleet_summary, in the current memory context. Needs SPI_connect(). */
extern ObservFleet *observ_load_fleet(void);

/* Whether rows of vps_metrics came from a VPS at first and come no more. One that never sent any is not silent: it has other things to say. */
extern bool observ_fleet_fell_silent(const ObservFleet *fleet, ObservEvaluation *evaluation,
									 const char *vps_name);

#endif
