/* SPDX-License-Identifier: MIT */
/* The models that are installed, by name. */
#pragma once

#include "model.h"

/* Owned by the caller. */
char *shipped_model_path(const char *name);
/* A check fails where it can't be read. */
Model *shipped_model(const char *name, const ModelOptions *options, GPtrArray *warnings);
