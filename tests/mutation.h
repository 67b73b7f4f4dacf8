/* SPDX-License-Identifier: MIT */
/* Random damage of a text: what a reader of files must live through. */
#pragma once

#include <glib.h>

/* Overwrites, inserts or erases one to three letters. */
void mutate(GString *text, GRand *random, const char *alphabet);
