/*
 * The kinds of channels there are, and what their files share. What does not belong here: anything about one service (channel_<kind>.c).
 */
#include "postgres.h"

#include "ext/channel_kind.h"

/* A line per kind, by name, here and below. */
extern const ChannelKind observ_channel_appwrite;
extern const ChannelKind observ_channel_discord;
extern const ChannelKind observ_channel_email;
extern const ChannelKind observ_channel_ntfy;
extern const ChannelKind observ_channel_opsgenie;
extern const ChannelKind observ_channel_pagerduty;
extern const ChannelKind observ_channel_slack;
extern const ChannelKind observ_channel_teams;
extern const ChannelKind observ_channel_telegram;
extern const ChannelKind observ_channel_twilio;
extern const ChannelKind observ_channel_webhook;

const ChannelKind *const observ_channel_kinds[] = {
	&observ_channel_appwrite, &observ_channel_discord,   &observ_channel_email,   &observ_channel_ntfy,
	&observ_channel_opsgenie, &observ_channel_pagerduty, &observ_channel_slack,   &observ_channel_teams,
	&observ_channel_telegram, &observ_channel_twilio,    &observ_channel_webhook, NULL,
};

const ChannelKind *
observ_channel_kind(const char *name)
{
	for (int i = 0; observ_channel_kinds[i] != NULL; i++)
		if (strcmp(observ_channel_kinds[i]->name, name) == 0)
			return observ_channel_kinds[i];
	return NULL;
}

void
observ_request_header(ChannelRequest *request, const char *name, const char *value)
{
	char *header = psprintf("%s: %s", name, value);

	/* Whatever the value is made of, it stays one header. */
	for (char *c = header; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	request->headers = lappend(request->headers, header);
}

JsonWriter
observ_request_json(ChannelRequest *request)
{
	observ_request_header(request, "Content-Type", "application/json");
	if (request->body.data == NULL)
		initStringInfo(&request->body);
	return (JsonWriter){.out = &request->body};
}

MessageTemplates
observ_channel_templates(const ChannelKind *kind, const ChannelConfig *config, const char *title,
						 const char *body)
{
	bool markup = kind->value != NULL && observ_config_boolean(config, "markup");

	return (MessageTemplates){.title = title, .body = body, .value = markup ? kind->value : NULL};
}

char *
observ_base_url(const ChannelConfig *config)
{
	char *url = pstrdup(observ_config_text(config, "url"));

	for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--)
		url[n - 1] = '\0';
	return url;
}

void
observ_put_urlencoded(StringInfo out, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++) {
		bool unreserved = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ||
						  *c == '-' || *c == '.' || *c == '_' || *c == '~';

		if (unreserved)
			appendStringInfoChar(out, (char) *c);
		else {
			appendStringInfoChar(out, '%');
			appendStringInfoChar(out, hex[*c >> 4]);
			appendStringInfoChar(out, hex[*c & 15]);
		}
	}
}

void
observ_put_form_field(ChannelRequest *request, const char *name, const char *value)
{
	if (request->body.data == NULL)
		initStringInfo(&request->body);
	if (request->body.len == 0)
		observ_request_header(request, "Content-Type", "application/x-www-form-urlencoded");
	else
		appendStringInfoChar(&request->body, '&');
	observ_put_urlencoded(&request->body, name);
	appendStringInfoChar(&request->body, '=');
	observ_put_urlencoded(&request->body, value);
}
