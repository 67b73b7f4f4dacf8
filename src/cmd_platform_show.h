/* SPDX-License-Identifier: MIT */
/* A node type as a person sees it. Private to cmd_platform.c. */
#pragma once

#include "cluster.h"

G_BEGIN_DECLS

/* Its GPUs, switches, NICs and rails as a text diagram. */
char *cmd_platform_diagram(const NodeType *node);
/* Its facts, a line each, with their sources. */
char *cmd_platform_facts(const NodeType *node);

G_END_DECLS
