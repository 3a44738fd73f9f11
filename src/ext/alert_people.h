/* What people do to alerts, as dispatch needs it. What does not belong here: evaluation. */
#ifndef OBSERV_EXT_ALERT_PEOPLE_H
#define OBSERV_EXT_ALERT_PEOPLE_H

#include "datatype/timestamp.h"

/*
 * Ends acknowledgements whose acknowledged_until has come. The alerts are unrouted then, and alert_history says why. (One that ends because the
 * severity changed is evaluation's.) Runs as the owner of the tables; needs SPI_connect(). Cheap when there are none.
 */
extern void observ_end_acknowledgements(TimestampTz at);

#endif
