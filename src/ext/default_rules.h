/* The alert rules that come with observ, for who installs them. What does not belong here: rules in general (alert_rule.h). */
#ifndef OBSERV_EXT_DEFAULT_RULES_H
#define OBSERV_EXT_DEFAULT_RULES_H

/*
 * Makes observ.alert_rules follow what this version ships: rules that nobody edited change or go with it, edited ones stay as they are, deleted
 * ones stay deleted, new ones come. Needs SPI_connect().
 */
extern void observ_merge_rules(void);

#endif
