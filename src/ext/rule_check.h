/*
 * Parts of the check of an alert rule; observ_check_rule() (rule_row.h) is all of them.
 * What does not belong here: reading rules for their evaluation.
 */
#ifndef OBSERV_EXT_RULE_CHECK_H
#define OBSERV_EXT_RULE_CHECK_H

#include "ext/rule_row.h"

/* Which metric a rule is about: completes `source`, or raises what is wrong with metric_name, query and source (rule_complete.c). */
extern void observ_complete_source(ObservRuleRow *row, const ObservRuleRow *old);

/* Labels, annotations, channels, category and runbook_url (rule_texts.c): raises what is wrong with them. */
extern void observ_check_texts(const ObservRuleRow *row);

/* Aggregate, window, thresholds and matchers against the metric and each other (rule_values.c). */
extern void observ_check_values(const ObservRule *rule, const ObservRuleRow *row);

/*
 * The same against what is there now: how often VPSs report, how long rows are kept (rule_values.c). A rule that was fine once must stay
 * editable, so this is for what is new.
 */
extern void observ_check_window(const ObservRule *rule, const ObservRuleRow *row);

/*
 * Whether a query can be run as that role and returns what it must (rule_query_check.c). Runs nothing. Returns it as it is to be stored,
 * for the FROM of another: without a semicolon at its end.
 */
extern char *observ_check_query(const char *query, Oid owner);

/*
 * The role that queries of an owner run as: the owner, or observ_rules for a superuser. What a query reads may be a view tomorrow whose functions
 * belong to somebody else; they must not run as a superuser each 15 s.
 */
extern Oid observ_query_role(Oid owner);

#endif
