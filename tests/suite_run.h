/* SPDX-License-Identifier: MIT */
/* The end of every test program: its suite run, one check after another. */
#pragma once

#include <check.h>

/* Frees the suite; returns the exit status of main(). */
int suite_run(Suite *suite);
