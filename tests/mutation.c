/* SPDX-License-Identifier: MIT */
/* Seeded by whoever calls, so a failure can be had again. */
#include "mutation.h"

#include <string.h>

void mutate(GString *text, GRand *random, const char *alphabet)
{
    const gint32 n_letters = (gint32)strlen(alphabet);
    for (int n = g_rand_int_range(random, 1, 4); n > 0; n--) {
        const gint32 at = g_rand_int_range(random, 0, (gint32)text->len);
        const char c = alphabet[g_rand_int_range(random, 0, n_letters)];
        if (g_rand_boolean(random))
            text->str[at] = c;
        else if (g_rand_boolean(random))
            g_string_insert_c(text, at, c);
        else
            g_string_erase(text, at, 1);
    }
}
