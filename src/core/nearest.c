/* nearest.c: Edit distance in one row of memory. See nearest.h for what belongs here. */
#include "core/nearest.h"

#include <string.h>

#define LETTERS_OF_A_PART 3
#define MOST_CHANGES      4

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

size_t
name_distance(const char *a, const char *b)
{
	size_t row[NEAREST_NAME_MAX + 1], la = strlen(a), lb = strlen(b);

	if (la > NEAREST_NAME_MAX || lb > NEAREST_NAME_MAX)
		return NEAREST_NAME_MAX + 1;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[lb];
}

void
nearest_begin(struct nearest *nearest, const char *asked, size_t limit)
{
	size_t third = (strlen(asked) + 2) / 3;

	*nearest = (struct nearest){.asked = asked, .limit = limit};
	if (limit == 0)
		nearest->limit = third < MOST_CHANGES ? third : MOST_CHANGES;
	nearest->distance = nearest->limit + 1;
}

void
nearest_consider(struct nearest *nearest, const char *name)
{
	size_t distance = name_distance(nearest->asked, name);

	if (distance > nearest->limit && strlen(nearest->asked) >= LETTERS_OF_A_PART &&
		strstr(name, nearest->asked) != NULL)
		distance = nearest->limit;
	if (distance < nearest->distance) {
		nearest->distance = distance;
		nearest->name = name;
	}
}
