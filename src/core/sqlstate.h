/*
 * sqlstate.h: what an error of the database means for those who sent it rows.
 *
 * Belongs here: SQLSTATE -> what to do, and words for a person. Source: PostgreSQL's appendix A.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_SQLSTATE_H
#define OBSERV_CORE_SQLSTATE_H

enum remedy {
	REMEDY_RETRY, /* passes by itself: connection, resources, restart, serialization, standby, lock, paused */
	REMEDY_OPERATOR,   /* someone has to do something: keep the rows, ask again slowly */
	REMEDY_QUARANTINE, /* a row is bad: find it, put it aside, go on */
};

struct sqlstate_advice {
	enum remedy remedy;
	const char *problem; /* in words; NULL: the server's own message says it */
	const char *hint;    /* what to type or look at, if the server gives no hint; NULL: none */
};

/* Any five characters; NULL or "" is a connection that failed without an answer. */
struct sqlstate_advice advice_for_sqlstate(const char *sqlstate);

#endif
