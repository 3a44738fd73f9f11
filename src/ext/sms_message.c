/* Text messages. See sms_message.h. */
#include "postgres.h"

#include "ext/sms_message.h"

#include "core/sms_text.h"
#include "ext/chat_text.h"

#define MAX_TITLE 1000 /* before it is known what that costs */

/* The same in characters that telephones show; palloc'd. */
static char *
plain(const char *text)
{
	size_t size = strlen(text);
	char *out = palloc(size + 1);

	out[sms_plain((struct slice){text, text + size}, out)] = '\0';
	return out;
}

/* Cut to `units`, with dots at the cut. */
static char *
cut(char *text, size_t units)
{
	bool gsm;
	size_t len;

	if (sms_units(slice_of(text), &gsm) <= units)
		return text;
	len = sms_cut(slice_of(text), units - 3);
	return psprintf("%.*s...", (int) len, text);
}

char *
observ_sms_message(const Message *message, int segments)
{
	char *title = plain(observ_fit(observ_chat_title(message), MAX_TITLE, true, NULL)), *text;
	size_t room, units;
	bool gsm;
	int max;

	/* Half of it for the title at most, when there is more to say than that. */
	sms_units(slice_of(title), &gsm);
	title = cut(title, sms_room(segments, gsm) / 2);
	for (max = (int) sms_room(segments, true);; max -= Max(1, (int) (units - room))) {
		text = plain(observ_message_text(message, Max(max, 1), NULL));
		text = strcmp(text, title) == 0 ? title : psprintf("%s\n%s", title, text);
		units = sms_units(slice_of(text), &gsm);
		room = sms_room(segments, gsm);
		if (units <= room)
			return text;
		if (max <= 1)
			return cut(text, room);
	}
}
