/* Whether the notifier before this one ended in order. */
#ifndef OBSERV_BGWORKER_NOTIFIER_MARK_H
#define OBSERV_BGWORKER_NOTIFIER_MARK_H

/*
 * Marks in observ.job_runs, as send_notifications, that a notifier runs. Returns how many in a row before it took the server with them, or went down
 * with it. Needs a transaction and an open gate.
 */
extern int observ_notifier_mark(void);

/* Takes the mark back: it ends in order, or has run for so long that what was before does not matter. As above. */
extern void observ_notifier_unmark(void);

#endif
