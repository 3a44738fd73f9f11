/* The tree of routes, observ.routes: where an alert goes. What does not belong here: groups (dispatch.h), checks of what people write. */
#ifndef OBSERV_EXT_ROUTES_H
#define OBSERV_EXT_ROUTES_H

#include "core/slice.h"
#include "ext/matcher_sets.h"
#include "nodes/pg_list.h"

/* A text[]; n < 0: NULL. */
typedef struct ObservNames {
	int n;
	char **name;
} ObservNames;

/* A route with what it inherits. */
typedef struct ObservRoute {
	int64 route_id;
	const char *name;
	int parent; /* index; -1: the root */
	int end;    /* index behind the last route below it */
	bool enabled, goes_on;
	const char *matchers_text;
	ObservMatcherSets *matchers; /* NULL: of the root, which takes everything; or see error */
	const char *error; /* why it can't be used, when somebody got past the checks; it takes nothing then */
	ObservNames channels;
	ObservNames group_by; /* in the order of names, each once */
	bool group_by_all;    /* {...}: each alert alone */
	int64 group_wait_us, group_interval_us;
	int n_repeat;
	int64 *repeat_us;
	ObservNames mute, active; /* time intervals */
} ObservRoute;

typedef struct ObservRoutes {
	int n;
	ObservRoute *route;     /* the root first, children in their order behind their parent */
	ObservLabelNames names; /* labels that matchers ask for */
	int64 digest;           /* of all that decides where alerts go and what groups they form */
} ObservRoutes;

/*
 * Reads the tree, in the current memory context. A route whose matchers can't be read is a WARNING and takes nothing. Raises 55000 when there
 * is no root. Needs SPI_connect().
 */
extern ObservRoutes *observ_load_routes(void);

/* Index of the route of that number or name; -1: there is none. */
extern int observ_route_by_id(const ObservRoutes *routes, int64 route_id);
extern int observ_route_by_name(const ObservRoutes *routes, const char *name);

/* Whether a route's own matchers accept the values, which are in the order of routes->names. */
extern bool observ_route_accepts(const ObservRoute *route, const struct slice *values);

/* Values for the matchers: *values has room for routes->names.n. */
extern void observ_route_values(const ObservRoutes *routes, matchers_lookup *lookup, void *arg,
								struct slice *values);

/*
 * Indexes of the routes that an alert ends in, at least one: the deepest that match, the first of each parent's children and further ones where
 * continue is set; the root when none of its children matches.
 */
extern List *observ_find_routes(const ObservRoutes *routes, const struct slice *values);

/* Time that a route waits before the next repetition, after `repeats`; -1: it does not repeat. */
extern int64 observ_route_repeat_us(const ObservRoute *route, int repeats);

/* A text[] of the current SPI result, as observ_spi_value() counts; NULLs in it are left out. */
extern ObservNames observ_route_names(uint64 row, int column);

#endif
