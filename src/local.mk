# SPDX-License-Identifier: MIT
# The program: a library of everything but main.c, so that the tests link what users run.
# Lists are in the order of the layers, which is the order of the data flow.

noinst_LIBRARIES += libzerosim.a
libzerosim_a_SOURCES =

# -- foundations
libzerosim_a_SOURCES += \
	%reldir%/error.c %reldir%/error.h %reldir%/json_in.c %reldir%/json_in.h

# -- inputs: text to plain structs
libzerosim_a_SOURCES += \
	%reldir%/experiment.c %reldir%/experiment.h %reldir%/experiment_keys.c \
	%reldir%/experiment_keys.h %reldir%/experiment_path.c %reldir%/experiment_value.c \
	%reldir%/kernel.c %reldir%/kernel.h %reldir%/profile.c %reldir%/profile.h \
	%reldir%/profile_roofline.c %reldir%/profile_roofline.h %reldir%/optimizer.h \
	%reldir%/model.h %reldir%/model_family.h %reldir%/training.h %reldir%/node_type.c \
	%reldir%/cluster.c %reldir%/cluster.h %reldir%/cluster_xml.c

# -- what one step does: pure functions
libzerosim_a_SOURCES += \
	%reldir%/collective.h %reldir%/schedule.c %reldir%/schedule.h %reldir%/bucket.c \
	%reldir%/bucket.h %reldir%/step.c %reldir%/step.h %reldir%/step_ddp.c \
	%reldir%/step_deepspeed12.c %reldir%/step_fsdp.c %reldir%/step_ops.c \
	%reldir%/step_walk.h

# -- how time passes
libzerosim_a_SOURCES += \
	%reldir%/timeline.h %reldir%/sim.h %reldir%/sim_engine.c %reldir%/sim_engine.h \
	%reldir%/sim_facts.c %reldir%/sim_facts.h

# -- what it means
libzerosim_a_SOURCES += \
	%reldir%/memory.c %reldir%/memory.h %reldir%/memory_allocator.c \
	%reldir%/memory_allocator.h %reldir%/metrics.c %reldir%/metrics.h \
	%reldir%/metrics_comm.c %reldir%/metrics_comm.h %reldir%/metrics_time.c \
	%reldir%/metrics_time.h

# -- one run, whole
libzerosim_a_SOURCES += \
	%reldir%/predict.h

# -- outputs
libzerosim_a_SOURCES += \
	%reldir%/report.c %reldir%/report.h %reldir%/report_csv.c %reldir%/report_formats.h \
	%reldir%/report_json.c
