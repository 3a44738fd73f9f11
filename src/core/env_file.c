/* Lines of NAME=VALUE. See env_file.h. */
#include "core/env_file.h"

#include <stdbool.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct slice
trim(struct slice s)
{
	while (s.p < s.end && is_blank(*s.p))
		s.p++;
	while (s.end > s.p && is_blank(s.end[-1]))
		s.end--;
	return s;
}

static bool
is_name_char(char c, bool first)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

void
env_file_begin(struct env_file *file, struct slice text)
{
	if (slice_starts(text, "\xef\xbb\xbf"))
		text.p += 3;
	file->rest = text;
	file->line = 0;
}

static enum env_line
take_value(struct slice value, char *out, size_t size)
{
	char quote = value.p < value.end && (*value.p == '"' || *value.p == '\'') ? *value.p : '\0';
	size_t n = 0;

	if (quote != '\0')
		value.p++;
	while (value.p < value.end && (quote == '\0' || *value.p != quote) && n + 1 < size) {
		if (quote == '"' && *value.p == '\\' && value.end - value.p > 1 && value.p[1] != '\0' &&
			strchr("\"\\$`", value.p[1]) != NULL)
			value.p++;
		out[n++] = *value.p++;
	}
	out[n] = '\0';
	if (quote == '\0')
		return ENV_VARIABLE;
	return value.end - value.p == 1 && *value.p == quote ? ENV_VARIABLE : ENV_NO_QUOTE;
}

enum env_line
env_file_next(struct env_file *file, struct slice *name, char *out, size_t size)
{
	struct slice line;

	out[0] = '\0';
	while (slice_line(&file->rest, &line)) {
		struct slice whole = trim(line);

		file->line++;
		if (whole.p == whole.end || *whole.p == '#' || *whole.p == ';')
			continue;
		if (slice_starts(whole, "export ") || slice_starts(whole, "export\t"))
			whole = trim((struct slice){whole.p + strlen("export"), whole.end});
		*name = (struct slice){whole.p, whole.p};
		while (name->end < whole.end && is_name_char(*name->end, name->end == name->p))
			name->end++;
		if (name->p == name->end || name->end == whole.end || *name->end != '=')
			return ENV_NO_NAME;
		return take_value(trim((struct slice){name->end + 1, whole.end}), out, size);
	}
	return ENV_END;
}
