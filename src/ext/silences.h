/* Silences as those who write them see them. What does not belong here: what they hide (suppression.h). */
#ifndef OBSERV_EXT_SILENCES_H
#define OBSERV_EXT_SILENCES_H

#include "datatype/timestamp.h"

/*
 * The time that triggers on observ.silences take for now: that of the transaction, or what a function was called with. Set before a statement;
 * put back by whoever set it, also after an error.
 */
extern TimestampTz observ_silence_time(void);
extern void observ_set_silence_time(TimestampTz at);
extern void observ_reset_silence_time(void);

/* While set silences may be deleted: retention does that to those that ended long ago. Put back by whoever set it, also after an error. */
extern void observ_set_silences_forgotten(bool on);

/*
 * Ends silences with auto_expire_when_clear that nothing has matched for so long. Runs as the owner of the tables; needs SPI_connect(). Cheap
 * when there are none.
 */
extern void observ_end_clear_silences(TimestampTz at);

#endif
