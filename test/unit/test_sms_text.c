/* test_sms_text.c: texts for telephones. Belongs here: core/sms_text. */
#include "unit.h"

#include "core/sms_text.h"

static const char *
plain(const char *text)
{
	static char out[4096];

	assert_true(strlen(text) < sizeof out);
	out[sms_plain(slice_of(text), out)] = '\0';
	return out;
}

static size_t
units(const char *text, bool in_gsm)
{
	bool gsm;
	size_t n = sms_units(slice_of(text), &gsm);

	assert_int_equal(gsm, in_gsm);
	return n;
}

static void
what_stands_in(void **state)
{
	(void) state;
	assert_string_equal(plain("[FIRING:1] High_Cpu {a=\"b\"}\nNEW"), "[FIRING:1] High_Cpu {a=\"b\"}\nNEW");
	assert_string_equal(plain("disk “/” is 97\xc2\xa0% full – now…"), "disk \"/\" is 97 % full - now...");
	assert_string_equal(plain("🔥 fire 🚒🏽 👩‍🚒 ⚠️ here ✅"), "fire here ");
	assert_string_equal(plain("äöüßÄÖÜñéèàùìòøåæ£€@"), "äöüßÄÖÜñéèàùìòøåæ£€@");
	assert_string_equal(plain("façade, Łódź, œuvre, naïve, São, `x`"),
						"facade, Lodz, ouvre, naive, Sao, 'x'");
	assert_string_equal(plain("temperature 90 °C → 95 °C, ±2, x ≥ 3"),
						"temperature 90 C -> 95 C, +-2, x >= 3");
	assert_string_equal(plain("a\t\r\nb\x01\x7f c\xff\xc2\x85"), "a \nb c? ");
	assert_string_equal(plain("диск ディスク"), "диск ディスク");
	assert_string_equal(plain("a\xe2\x80\xae"
							  "b\xef\xbb\xbf"
							  "c\xe2\x80\x8b"),
						"abc");
}

static void
what_it_costs(void **state)
{
	(void) state;
	assert_int_equal(units("", true), 0);
	assert_int_equal(units("abc é Δ\n", true), 8);
	assert_int_equal(units("[]{}\\^~|€", true), 18);
	assert_int_equal(units("`", false), 1);
	assert_int_equal(units("ç", false), 1); /* only Ç is in the alphabet */
	assert_int_equal(units("диск [1]", false), 8);
	assert_int_equal(units("\xf0\xa0\x80\x80", false), 2); /* U+20000 */
	assert_int_equal(sms_room(1, true), 160);
	assert_int_equal(sms_room(2, true), 305);
	assert_int_equal(sms_room(1, false), 70);
	assert_int_equal(sms_room(2, false), 133);
	assert_true(sms_room(10, true) <= 1600);
}

static void
where_it_is_cut(void **state)
{
	(void) state;
	assert_int_equal(sms_cut(slice_of("abcdef"), 6), 6);
	assert_int_equal(sms_cut(slice_of("abcdef"), 5), 5);
	assert_int_equal(sms_cut(slice_of("ab[d"), 3), 2); /* two septets */
	assert_int_equal(sms_cut(slice_of("ab[d"), 4), 3);
	assert_int_equal(sms_cut(slice_of("éé"), 1), 2);
	assert_int_equal(sms_cut(slice_of("д[[["), 3), 4);
	assert_int_equal(sms_cut(slice_of("a\xf0\xa0\x80\x80"), 2), 1); /* no half of a pair */
	assert_int_equal(sms_cut(slice_of("abc"), 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_stands_in),
		cmocka_unit_test(what_it_costs),
		cmocka_unit_test(where_it_is_cut),
	};

	return TESTS(tests);
}
