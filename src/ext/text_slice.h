/* The bytes of text values, for what works on slices. What does not belong here: collations. */
#ifndef OBSERV_EXT_TEXT_SLICE_H
#define OBSERV_EXT_TEXT_SLICE_H

#include "core/slice.h"

/* A slice over a text datum's bytes; `t` must be detoasted. */
static inline struct slice
observ_text_slice(const text *t)
{
	return (struct slice){VARDATA_ANY(t), VARDATA_ANY(t) + VARSIZE_ANY_EXHDR(t)};
}

/* Order of the bytes, which is that of the C collation; both must be detoasted. */
static inline int
observ_text_compare(const text *a, const text *b)
{
	return slice_compare(observ_text_slice(a), observ_text_slice(b));
}

#endif
