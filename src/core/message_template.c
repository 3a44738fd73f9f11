/* message_template.c: a reader of templates of messages that renders as it goes. See message_template.h for what belongs here. */
#include "core/message_template.h"

#include <math.h>
#include <stdio.h>

#define DEPTH_MAX  16
#define MEMORY_MAX 16384 /* of one expression: what upper, join and the like make */

const char *const message_template_names[] = {
	"title",        "text",        "reason",      "channel",   "route",    "seq",      "firing",
	"resolved",     "new",         "still",       "alerts",    "left_out", "names",    "instances",
	"external_url", "group",       "name",        "instance",  "mark",     "summary",  "description",
	"runbook_url",  "value",       "peak",        "threshold", "duration", "acked_by", "resolved_reason",
	"flapping",     "stale",       "reopened",    "starts_at", "ends_at",  "alert_id", "fingerprint",
	"line",         "silence_url", "explain_url", "status",    "severity", "url",      "labels",
	"annotations",  "index",       "first",       "last",      NULL};

static const char *const set_names[] = {"alerts", "firing", "resolved", "new", "still", NULL};

static const char fields_hint[] =
	"Of the message: title, text, firing, resolved, severity, group.NAME, labels.NAME; of an alert: name, "
	"instance, value, peak, threshold, duration, summary, labels.NAME, annotations.NAME. "
	"docs/message-templates.md has all of them.";

/* Why a text ended. */
enum stop { STOP_END_OF_TEXT, STOP_ELSE, STOP_END };

struct run {
	struct template_reader reader;                /* first: its value() finds the rest */
	const struct message_template_values *values; /* NULL: checking */
	struct template_sink sink;
	bool emit; /* false: what is read now is not rendered */
	int depth;
	int alert;         /* of the range; -1: outside */
	int index, in_set; /* from 1; how many */
	bool in_range;
	char memory[MEMORY_MAX];
};

static bool read_text(struct run *run, enum stop *stop, const char **at);

/* --- values */

static bool
takes_name(enum message_field field)
{
	return field == MESSAGE_LABELS || field == MESSAGE_ANNOTATIONS || field == MESSAGE_GROUP;
}

/* What is known of the range itself. */
static void
read_position(const struct run *run, enum message_field field, struct template_operand *out)
{
	if (field == MESSAGE_INDEX) {
		out->is_number = true;
		out->number = run->index;
	} else if (run->index == (field == MESSAGE_FIRST ? 1 : run->in_set))
		out->text = slice_of("true");
}

static bool
read_field(struct run *run, struct slice word, enum message_field field, struct slice name,
		   struct template_operand *out)
{
	bool of_alert = field >= MESSAGE_NAME && field < MESSAGE_STATUS;
	int alert = run->alert;

	if (field >= MESSAGE_INDEX && !run->in_range)
		return template_fail(&run->reader, word.p, "this is known inside of a range only",
							 "For instance {{ range alerts }}{{ index }}. {{ name }} {{ end }}.");
	if (run->values == NULL || !run->emit)
		return true;
	if (field >= MESSAGE_INDEX) {
		read_position(run, field, out);
		return true;
	}
	if (field < MESSAGE_NAME)
		alert = -1;
	else if (of_alert && alert < 0 && run->values->n_alerts > 0)
		alert = 0;
	if (!of_alert || alert >= 0)
		run->values->field(run->values->arg, alert, field, name, out);
	return true;
}

static bool
read_value(struct template_reader *r, struct slice word, struct template_operand *out)
{
	struct run *run = (struct run *) r;
	struct slice field = word, name;

	if (field.p < field.end && *field.p == '$')
		field.p++;
	for (name.p = field.p; name.p < field.end && *name.p != '.'; name.p++)
		continue;
	name.end = field.end;
	field.end = name.p;
	if (name.p < name.end)
		name.p++;
	for (int i = 0; message_template_names[i] != NULL; i++) {
		if (!slice_equals(field, message_template_names[i]))
			continue;
		if (field.end < name.p && (!takes_name((enum message_field) i) || name.p == name.end))
			return template_fail(
				r, word.p, name.p == name.end ? "a name should follow the point" : "this value has no parts",
				"Names follow labels, annotations and group: {{ labels.team }}.");
		return read_field(run, word, (enum message_field) i, name, out);
	}
	return template_fail_near(r, field.p < field.end ? field : word, "this is no value that templates know",
							  fields_hint, message_template_names);
}

/* Memory of what was read before is given back: nothing of it is needed any more. */
static void
forget(struct run *run)
{
	run->reader.memory = (struct template_memory){run->memory, run->memory + sizeof run->memory};
}

/* --- conditions */

static bool
is_true(const struct template_operand *operand)
{
	return operand->is_number ? !isnan(operand->number) && operand->number != 0
							  : operand->text.p < operand->text.end;
}

/* Also a text that is one: labels are texts. */
static bool
number_of(const struct template_operand *operand, double *number)
{
	if (!operand->is_number)
		return slice_to_float(operand->text, number);
	*number = operand->number;
	return true;
}

/* NaN compares as in SQL: with nothing. */
static bool
compare(const struct run *run, struct template_operand *a, const char *op, struct template_operand *b)
{
	double x, y;
	int order;

	if (number_of(a, &x) && number_of(b, &y)) {
		if (isnan(x) || isnan(y))
			return strcmp(op, "!=") == 0;
		order = x < y ? -1 : x > y;
	} else {
		template_plain(a);
		template_plain(b);
		if (run->values == NULL || !run->values->compare(run->values->arg, a->text, b->text, &order))
			order = slice_compare(a->text, b->text);
	}
	switch (op[0]) {
	case '=':
		return order == 0;
	case '!':
		return order != 0;
	case '<':
		return op[1] == '=' ? order <= 0 : order < 0;
	default:
		return op[1] == '=' ? order >= 0 : order > 0;
	}
}

static bool
read_part(struct run *run, bool *result)
{
	static const char *const operators[] = {"==", "!=", "<=", ">=", "<", ">"};
	struct template_reader *r = &run->reader;
	struct slice word = template_word(r);
	struct template_operand a, b;
	bool negated = false;

	for (; slice_equals(word, "not"); word = template_word(r))
		negated = !negated;
	forget(run);
	if (!template_expression(r, word, &a))
		return false;
	*result = is_true(&a);
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
		if (template_take(r, operators[i])) {
			if (!template_expression(r, template_word(r), &b))
				return false;
			*result = compare(run, &a, operators[i], &b);
			break;
		}
	*result ^= negated;
	return true;
}

/* Takes `and` or `or`. */
static bool
take_word(struct template_reader *r, const char *text)
{
	struct slice before = r->rest;

	if (slice_equals(template_word(r), text))
		return true;
	r->rest = before;
	return false;
}

static bool
read_condition(struct run *run, bool *result)
{
	*result = false;
	do {
		bool all = true;

		do {
			bool part;

			if (!read_part(run, &part))
				return false;
			all = all && part;
		} while (take_word(&run->reader, "and"));
		*result = *result || all;
	} while (take_word(&run->reader, "or"));
	return true;
}

/* --- statements */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* }} or -}}, which takes the blanks behind it, too. open: the opening braces. */
static bool
close_braces(struct run *run, const char *open)
{
	struct template_reader *r = &run->reader;

	if (template_take(r, "-}}")) {
		while (r->rest.p < r->rest.end && is_blank(*r->rest.p))
			r->rest.p++;
		return true;
	}
	if (template_take(r, "}}"))
		return true;
	return r->rest.p >= r->rest.end
			   ? template_fail(r, open, "these braces are not closed", "An expression ends with }}.")
			   : template_fail(r, r->rest.p, "a | or }} should be here", NULL);
}

static bool
read_expression(struct run *run, struct slice word, const char *open)
{
	struct template_operand operand;

	forget(run);
	if (!template_expression(&run->reader, word, &operand) || !close_braces(run, open))
		return false;
	template_plain(&operand);
	template_list(&operand, &run->reader.memory);
	if (run->emit)
		template_put(&run->sink, run->values->shown == NULL
									 ? operand.text
									 : run->values->shown(run->values->arg, operand.text));
	return true;
}

/* What must follow a text inside of a statement. */
static bool
ends(struct run *run, enum stop stop, enum stop wanted, const char *open, const char *at)
{
	if (stop == wanted)
		return true;
	return stop == STOP_END_OF_TEXT ? template_fail(&run->reader, open, "this is not ended",
													"What begins with if or range ends with {{ end }}.")
									: template_fail(&run->reader, at, "there was an else already",
													"The last thing before {{ end }} is one {{ else }}.");
}

/* One text of an if, rendered when `chosen`. */
static bool
read_branch(struct run *run, bool chosen, enum stop *stop, const char **at)
{
	bool emit = run->emit, done;

	run->emit = emit && chosen;
	done = read_text(run, stop, at);
	run->emit = emit;
	return done;
}

/* What is behind {{ if. */
static bool
read_if(struct run *run, const char *open)
{
	struct template_reader *r = &run->reader;
	const char *at = open;
	bool taken = false;
	enum stop stop;

	for (;;) {
		bool condition;

		if (!read_condition(run, &condition) || !close_braces(run, at) ||
			!read_branch(run, condition && !taken, &stop, &at))
			return false;
		taken = taken || condition;
		if (stop != STOP_ELSE)
			return ends(run, stop, STOP_END, open, at);
		if (!take_word(r, "if"))
			break;
	}
	return close_braces(run, at) && read_branch(run, !taken, &stop, &at) &&
		   ends(run, stop, STOP_END, open, at);
}

static bool
read_set(struct run *run, enum message_set *set)
{
	struct slice word = template_word(&run->reader);

	for (int i = 0; set_names[i] != NULL; i++)
		if (slice_equals(word, set_names[i])) {
			*set = (enum message_set) i;
			return true;
		}
	return template_fail_near(&run->reader, word, "a set of alerts should be here",
							  "There are alerts, firing, resolved, new and still.", set_names);
}

static int
count_set(const struct run *run, enum message_set set)
{
	int n = 0;

	for (int i = 0; run->values != NULL && run->emit && i < run->values->n_alerts; i++)
		n += run->values->in_set(run->values->arg, i, set);
	return n;
}

/* The text of a range, once per alert; once without rendering when there is none. */
static bool
read_rounds(struct run *run, enum message_set set, enum stop *stop, const char **at)
{
	const struct slice body = run->reader.rest;
	bool done = true;

	run->in_range = true;
	run->index = 0;
	run->in_set = count_set(run, set);
	if (run->in_set == 0)
		done = read_branch(run, false, stop, at);
	for (int i = 0; done && run->index < run->in_set; i++) {
		if (!run->values->in_set(run->values->arg, i, set))
			continue;
		run->alert = i;
		run->index++;
		run->reader.rest = body;
		done = read_text(run, stop, at);
	}
	run->in_range = false;
	run->alert = -1;
	return done;
}

/* What is behind {{ range. */
static bool
read_range(struct run *run, const char *open)
{
	enum message_set set = SET_ALERTS;
	enum stop stop;
	const char *at = open;
	bool some;

	if (run->in_range)
		return template_fail(&run->reader, open, "a range can't be inside of another one", NULL);
	if (!read_set(run, &set) || !close_braces(run, open) || !read_rounds(run, set, &stop, &at))
		return false;
	some = run->in_set > 0;
	if (stop != STOP_ELSE)
		return ends(run, stop, STOP_END, open, at);
	return close_braces(run, at) && read_branch(run, !some, &stop, &at) &&
		   ends(run, stop, STOP_END, open, at);
}

/* What is behind {{; *stop is set when the text ends here. */
static bool
read_statement(struct run *run, const char *open, bool *stopped, enum stop *stop)
{
	struct slice word = template_word(&run->reader);
	bool is_else = slice_equals(word, "else");

	*stopped = is_else || slice_equals(word, "end");
	if (*stopped) {
		*stop = is_else ? STOP_ELSE : STOP_END;
		if (run->depth == 1)
			return template_fail(&run->reader, word.p, "nothing has begun that could end here",
								 "else and end belong to an {{ if … }} or {{ range … }} before.");
		return is_else || close_braces(run, open);
	}
	if (!slice_equals(word, "if") && !slice_equals(word, "range"))
		return read_expression(run, word, open);
	if (run->depth == DEPTH_MAX)
		return template_fail(&run->reader, word.p, "there are too many ifs inside of each other", NULL);
	return slice_equals(word, "if") ? read_if(run, open) : read_range(run, open);
}

/* Up to the else, the end, or the end of the template; *at: where that is. After an else its closing braces come next. */
static bool
read_text(struct run *run, enum stop *stop, const char **at)
{
	struct template_reader *r = &run->reader;
	bool done = true, stopped = false;

	run->depth++;
	*stop = STOP_END_OF_TEXT;
	while (done && !stopped && r->rest.p < r->rest.end) {
		const char *open = template_braces(r->rest), *end = open;
		bool trims = open + 3 < r->rest.end && open[2] == '-' && is_blank(open[3]);

		while (trims && end > r->rest.p && is_blank(end[-1]))
			end--;
		if (run->emit)
			template_put(&run->sink, (struct slice){r->rest.p, end});
		r->rest.p = open;
		if (open == r->rest.end)
			break;
		r->rest.p += trims ? 3 : 2;
		*at = open;
		done = read_statement(run, open, &stopped, stop);
	}
	run->depth--;
	return done;
}

static void
begin(struct run *run, struct slice text, const struct message_template_values *values,
	  struct template_error *error)
{
	run->reader =
		(struct template_reader){.start = text.p, .rest = text, .error = error, .value = read_value};
	run->values = values;
	run->sink = (struct template_sink){0};
	run->emit = values != NULL;
	run->depth = run->index = run->in_set = 0;
	run->alert = -1;
	run->in_range = false;
	forget(run);
}

static bool
read_all(struct run *run, struct slice text)
{
	enum stop stop;
	const char *at;

	if ((size_t) (text.end - text.p) > MESSAGE_TEMPLATE_MAX)
		return template_fail(&run->reader, text.p + MESSAGE_TEMPLATE_MAX, "the text is too long",
							 "A template has at most 16384 bytes.");
	return read_text(run, &stop, &at);
}

bool
message_template_check(struct slice text, struct template_error *error)
{
	struct run run;

	begin(&run, text, NULL, error);
	return read_all(&run, text);
}

bool
message_template_render(struct slice text, const struct message_template_values *values, char *out,
						size_t size, size_t *length, bool *cut, struct template_error *error)
{
	struct run run;
	bool done;

	begin(&run, text, values, error);
	run.sink = (struct template_sink){out, out + size - 1, false};
	done = read_all(&run, text);
	*run.sink.p = '\0';
	*length = (size_t) (run.sink.p - out);
	*cut = run.sink.full;
	return done;
}
