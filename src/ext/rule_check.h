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

#endif
