# SPDX-License-Identifier: MIT
# The tests: libcheck programs, one a module (each check counts by itself, through TAP); golden
# whole-program cases; scripts that hold the tree to its own rules.

C_TESTS = \
	%reldir%/test_bucket \
	%reldir%/test_calibrate_plan \
	%reldir%/test_calibrate_profile \
	%reldir%/test_cluster \
	%reldir%/test_cmd_over \
	%reldir%/test_collective \
	%reldir%/test_collective_grows \
	%reldir%/test_collective_sim \
	%reldir%/test_collective_steps \
	%reldir%/test_constants \
	%reldir%/test_error \
	%reldir%/test_experiment \
	%reldir%/test_explain \
	%reldir%/test_explain_bandwidth \
	%reldir%/test_fabrics \
	%reldir%/test_json_in \
	%reldir%/test_kernel \
	%reldir%/test_knobs \
	%reldir%/test_knobs_time \
	%reldir%/test_memory \
	%reldir%/test_metrics \
	%reldir%/test_model \
	%reldir%/test_model_families \
	%reldir%/test_model_list \
	%reldir%/test_model_refusals \
	%reldir%/test_nccl \
	%reldir%/test_nccl_log \
	%reldir%/test_nccl_terms \
	%reldir%/test_nccl_topo \
	%reldir%/test_optimizer \
	%reldir%/test_platform \
	%reldir%/test_plot \
	%reldir%/test_pool \
	%reldir%/test_predict \
	%reldir%/test_presets \
	%reldir%/test_profile \
	%reldir%/test_profile_factors \
	%reldir%/test_profile_interpolation \
	%reldir%/test_profile_measured \
	%reldir%/test_profile_trace \
	%reldir%/test_replay \
	%reldir%/test_report \
	%reldir%/test_routes \
	%reldir%/test_schedule \
	%reldir%/test_sim \
	%reldir%/test_sim_fold \
	%reldir%/test_sim_groups \
	%reldir%/test_sim_links \
	%reldir%/test_sim_maxmin \
	%reldir%/test_sim_overlap \
	%reldir%/test_step \
	%reldir%/test_step_knobs \
	%reldir%/test_step_powersgd \
	%reldir%/test_step_states \
	%reldir%/test_step_volumes \
	%reldir%/test_step_zero3 \
	%reldir%/test_step_zeropp \
	%reldir%/test_timeline \
	%reldir%/test_toml_in \
	%reldir%/test_training \
	%reldir%/test_training_accelerate \
	%reldir%/test_training_deepspeed \
	%reldir%/test_training_torchtitan \
	%reldir%/test_validate \
	%reldir%/test_validate_names \
	%reldir%/test_yaml_in

GOLDEN_TESTS = \
	%reldir%/golden/compare-best.test \
	%reldir%/golden/compare-by-link-class.test \
	%reldir%/golden/compare-csv.test \
	%reldir%/golden/compare-deepspeed.test \
	%reldir%/golden/compare-does-not-fit.test \
	%reldir%/golden/compare-paper.test \
	%reldir%/golden/compare-pytorch.test \
	%reldir%/golden/compare-torchtitan.test \
	%reldir%/golden/help-compare.test \
	%reldir%/golden/help.test \
	%reldir%/golden/model-csv.test \
	%reldir%/golden/model-json.test \
	%reldir%/golden/model-layers.test \
	%reldir%/golden/model-layers-example.test \
	%reldir%/golden/model-table.test \
	%reldir%/golden/profile-check.test \
	%reldir%/golden/platform-list.test \
	%reldir%/golden/platform-show.test \
	%reldir%/golden/platform-xml.test \
	%reldir%/golden/run-accelerate-count.test \
	%reldir%/golden/run-names-fit-nothing.test \
	%reldir%/golden/run-accelerate.test \
	%reldir%/golden/run-by-collective.test \
	%reldir%/golden/run-ds-config.test \
	%reldir%/golden/run-explain-compute.test \
	%reldir%/golden/run-explain-csv.test \
	%reldir%/golden/run-explain-json.test \
	%reldir%/golden/run-explain-nic.test \
	%reldir%/golden/run-explain-nvlink.test \
	%reldir%/golden/run-json.test \
	%reldir%/golden/run-table.test \
	%reldir%/golden/run-without-file.test \
	%reldir%/golden/validate-collectives.test \
	%reldir%/golden/schedule-deepspeed-zero1.test \
	%reldir%/golden/schedule-deepspeed-zero2.test \
	%reldir%/golden/schedule-deepspeed-zero3.test \
	%reldir%/golden/schedule-one-rank.test \
	%reldir%/golden/schedule-paper-zero3.test \
	%reldir%/golden/schedule-pytorch-ddp.test \
	%reldir%/golden/schedule-pytorch-zero1.test \
	%reldir%/golden/schedule-pytorch-zero2.test \
	%reldir%/golden/schedule-pytorch-zero3.test \
	%reldir%/golden/version.test

SCRIPT_TESTS = \
	%reldir%/bad_input.sh \
	%reldir%/calibrate.sh \
	%reldir%/colour.sh \
	%reldir%/completion.sh \
	%reldir%/figures.sh \
	%reldir%/install.sh \
	%reldir%/layers.sh \
	%reldir%/man.sh \
	%reldir%/shapes.sh \
	%reldir%/readme.sh \
	%reldir%/report_page.sh \
	%reldir%/style.sh \
	%reldir%/sweep.sh \
	%reldir%/timeline.sh

TEST_FILES = \
	%reldir%/explain_fixture.h \
	%reldir%/golden/bert-base.conf \
	%reldir%/golden/gpt2-two-layers.json \
	%reldir%/golden/layers-example.json \
	%reldir%/golden/two-layers.conf \
	%reldir%/platforms/no-engine.xml \
	%reldir%/platforms/no-gpus.xml \
	%reldir%/platforms/no-route.xml \
	%reldir%/platforms/one-node.xml \
	%reldir%/platforms/sim-bus.xml \
	%reldir%/platforms/two-nodes.xml \
	%reldir%/profiles/synthetic.json \
	%reldir%/import_fixture.h \
	%reldir%/random_job.h \
	%reldir%/sim_fixture.h \
	%reldir%/training_fixture.h \
	%reldir%/transfer_fixture.h

TESTS += $(C_TESTS) $(GOLDEN_TESTS) $(SCRIPT_TESTS)
EXTRA_DIST += $(GOLDEN_TESTS) $(GOLDEN_TESTS:.test=.expected) $(SCRIPT_TESTS) $(TEST_FILES) \
	%reldir%/golden.sh %reldir%/tap.sh %reldir%/cppcheck.cfg

# What several tests share: each is linked with what it uses of it.
EXTRA_LIBRARIES = %reldir%/libtests.a
CLEANFILES += %reldir%/libtests.a
%canon_reldir%_libtests_a_SOURCES = \
	%reldir%/clusters.c %reldir%/clusters.h \
	%reldir%/knob_runs.c %reldir%/knob_runs.h \
	%reldir%/mutation.c %reldir%/mutation.h \
	%reldir%/scratch.c %reldir%/scratch.h \
	%reldir%/shipped_models.c %reldir%/shipped_models.h \
	%reldir%/step_inputs.c %reldir%/step_inputs.h \
	%reldir%/suite_run.c %reldir%/suite_run.h \
	%reldir%/validate_inputs.c %reldir%/validate_inputs.h

check_PROGRAMS += %reldir%/print_shapes
%canon_reldir%_print_shapes_SOURCES = %reldir%/print_shapes.c
%canon_reldir%_print_shapes_LDADD = $(zerosim_LDADD)

# zerosim-calibrate has the shapes of the shipped models compiled in.
update-plan: %reldir%/print_shapes
	@LC_ALL=C $(builddir)/%reldir%/print_shapes $(srcdir)/workloads/models/*.json \
		>$(srcdir)/src/calibrate/plan_shapes.h

LDADD = %reldir%/libtests.a $(zerosim_LDADD) $(CHECK_LIBS)

# zerosim-calibrate's plan is plain C: it is held against the models where there is no CUDA too.
tests_test_calibrate_plan_SOURCES = %reldir%/test_calibrate_plan.c $(CALIBRATE_PLAN)
tests_test_profile_interpolation_SOURCES = %reldir%/test_profile_interpolation.c \
	$(CALIBRATE_PLAN)
tests_test_calibrate_profile_SOURCES = %reldir%/test_calibrate_profile.c $(CALIBRATE_PLAN) \
	$(CALIBRATE_PROFILE)

if HAVE_CHECK
check_PROGRAMS += $(C_TESTS)
AM_CPPFLAGS += $(CHECK_CFLAGS)
else
check-local:
	@echo "the tests need check >= 0.15 (Debian: apt-get install check)" >&2; exit 1
endif

# A failed check is a "not ok", a crash is a missing plan: the exit status says nothing more.
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' CK_TAP_LOG_FILE_NAME=- $(SHELL) \
	$(top_srcdir)/build-aux/tap-driver.sh --ignore-exit
SH_LOG_DRIVER = $(LOG_DRIVER)
TEST_LOG_COMPILER = $(SHELL) $(top_srcdir)/%reldir%/golden.sh
SH_LOG_COMPILER = bash

# The program under test finds its data in the source tree; what a user has set doesn't count.
AM_TESTS_ENVIRONMENT = \
	ZEROSIM_DATA_DIR='$(abs_top_srcdir)'; export ZEROSIM_DATA_DIR; \
	PATH='$(abs_top_builddir)':$$PATH; export PATH; \
	G_DEBUG=fatal-warnings; export G_DEBUG; \
	LC_ALL=C.UTF-8; export LC_ALL;

$(GOLDEN_TESTS:.test=.log): $(bin_PROGRAMS)
$(SCRIPT_TESTS:.sh=.log): $(bin_PROGRAMS)

update-golden: $(bin_PROGRAMS)
	@$(AM_TESTS_ENVIRONMENT) cd $(srcdir) && \
	for case in $(GOLDEN_TESTS); do $(SHELL) %reldir%/golden.sh --update $$case; done; \
	bash %reldir%/readme.sh --update

# What a run costs: printed for a person, never asserted.
BENCHES = %reldir%/bench_step %reldir%/bench_sim %reldir%/bench_profile
EXTRA_PROGRAMS += $(BENCHES)
%canon_reldir%_bench_step_LDADD = $(zerosim_LDADD)
%canon_reldir%_bench_sim_LDADD = $(zerosim_LDADD)
tests_bench_profile_SOURCES = %reldir%/bench_profile.c $(CALIBRATE_PLAN) $(CALIBRATE_PROFILE)
%canon_reldir%_bench_profile_LDADD = $(zerosim_LDADD)
CLEANFILES += $(BENCHES)

bench: $(bin_PROGRAMS) $(BENCHES)
	@$(AM_TESTS_ENVIRONMENT) for bench in $(BENCHES); do ./$$bench || exit 1; done
