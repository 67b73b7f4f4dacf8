# SPDX-License-Identifier: MIT
# The manual. Parts that repeat a table of the program are written by the program.

dist_man_MANS += \
	%reldir%/zerosim.1 \
	%reldir%/zerosim-calibrate.1 \
	%reldir%/zerosim-experiment.5 \
	%reldir%/zerosim-model.5 \
	%reldir%/zerosim-platform.5 \
	%reldir%/zerosim-profile.5
dist_doc_DATA += %reldir%/MODEL.md
EXTRA_DIST += %reldir%/update.sh \
	%reldir%/figures/largest-model.svg \
	%reldir%/figures/memory.svg \
	%reldir%/figures/scaling.svg

check_PROGRAMS += %reldir%/print_tables
%canon_reldir%_print_tables_LDADD = $(zerosim_LDADD)

update-man: %reldir%/print_tables
	@cd $(srcdir) && bash %reldir%/update.sh $(abs_builddir)/%reldir%/print_tables

completiondir = $(datadir)/bash-completion/completions
dist_completion_DATA = %reldir%/completion/zerosim
