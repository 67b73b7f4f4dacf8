# SPDX-License-Identifier: MIT
# The program: a library of everything but main.c, so that the tests link what users run.
# Lists are in the order of the layers, which is the order of the data flow.

bin_PROGRAMS += zerosim
zerosim_SOURCES = %reldir%/main.c
zerosim_LDADD = libzerosim.a $(LIBRARIES_LIBS)

noinst_LIBRARIES += libzerosim.a
libzerosim_a_SOURCES =

# -- foundations
libzerosim_a_SOURCES += \
	%reldir%/error.c %reldir%/error.h %reldir%/constants.c %reldir%/constants.h \
	%reldir%/json_in.c %reldir%/json_in.h \
	%reldir%/out_file.c %reldir%/out_file.h %reldir%/pool.c %reldir%/pool.h \
	%reldir%/toml_in.cc %reldir%/toml_in.h %reldir%/yaml_in.c %reldir%/yaml_in.h

# -- inputs: text to plain structs
libzerosim_a_SOURCES += \
	%reldir%/experiment.c %reldir%/experiment.h %reldir%/experiment_keys.c \
	%reldir%/experiment_keys.h %reldir%/experiment_import.c \
	%reldir%/experiment_path.c %reldir%/experiment_value.c \
	%reldir%/kernel.c %reldir%/kernel.h %reldir%/kernel_class.c %reldir%/profile.c %reldir%/profile.h \
	%reldir%/profile_check.c %reldir%/profile_check.h \
	%reldir%/profile_factors.c %reldir%/profile_factors.h %reldir%/profile_derive.c %reldir%/profile_derive.h %reldir%/profile_interpolate.c \
	%reldir%/profile_interpolate.h %reldir%/profile_kernels.c %reldir%/profile_read.c %reldir%/profile_read.h \
	%reldir%/profile_roofline.c %reldir%/profile_roofline.h %reldir%/profile_tiles.c %reldir%/profile_tiles.h %reldir%/profile_trace.c \
	%reldir%/profile_trace.h %reldir%/optimizer.c \
	%reldir%/optimizer.h %reldir%/model.c %reldir%/model.h %reldir%/model_attention.c \
	%reldir%/model_bert.c %reldir%/model_decoder.c %reldir%/model_decoder.h \
	%reldir%/model_falcon.c %reldir%/model_family.h %reldir%/model_gpt2.c \
	%reldir%/model_gptj.c %reldir%/model_layers.c %reldir%/model_linear.c %reldir%/model_list.c \
	%reldir%/model_llama.c %reldir%/model_members.c %reldir%/model_mpt.c \
	%reldir%/model_opt.c %reldir%/model_t5.c %reldir%/model_vit.c \
	%reldir%/training.c %reldir%/training.h %reldir%/training_accelerate.c \
	%reldir%/training_accelerate.h %reldir%/training_accelerate_deepspeed.c \
	%reldir%/training_accelerate_members.c \
	%reldir%/training_batch.c %reldir%/training_batch.h %reldir%/training_deepspeed.c \
	%reldir%/training_deepspeed.h %reldir%/training_deepspeed_members.c \
	%reldir%/training_deepspeed_rules.c \
	%reldir%/training_import.c %reldir%/training_import.h %reldir%/training_members.c \
	%reldir%/training_members.h \
	%reldir%/training_precision.c %reldir%/training_precision.h %reldir%/training_pytorch.c \
	%reldir%/training_pytorch.h %reldir%/training_torchtitan.c \
	%reldir%/training_torchtitan.h %reldir%/training_torchtitan_members.c \
	%reldir%/nccl_plugin.c %reldir%/nccl_plugin.h \
	%reldir%/node_wires.c \
	%reldir%/node_wires.h %reldir%/node_type.c %reldir%/cluster.c %reldir%/cluster.h \
	%reldir%/cluster_spec.c %reldir%/cluster_xml.c %reldir%/cluster_xml.h \
	%reldir%/cluster_xml_direct.c \
	%reldir%/cluster_xml_fabric.c %reldir%/cluster_xml_node.c

# -- what one step does: pure functions
libzerosim_a_SOURCES += \
	%reldir%/collective.c %reldir%/collective.h %reldir%/collective_calibration.c \
	%reldir%/collective_calibration.h %reldir%/collective_choice.c %reldir%/collective_chunk.c \
	%reldir%/collective_comm.c %reldir%/collective_comm.h %reldir%/collective_direct.c \
	%reldir%/collective_flows.c %reldir%/collective_flows.h %reldir%/collective_ring.c \
	%reldir%/collective_search.c %reldir%/collective_timing.c %reldir%/collective_timing.h %reldir%/collective_tree.c %reldir%/collective_tuner.c \
	%reldir%/collective_tuner.h %reldir%/nccl_calibration.c %reldir%/nccl_calibration.h \
	%reldir%/nccl_topo.c %reldir%/nccl_topo.h %reldir%/nccl_topo_read.c \
	%reldir%/nccl_topo_read.h \
	%reldir%/schedule.c %reldir%/schedule.h %reldir%/schedule_job.c %reldir%/bucket.c \
	%reldir%/bucket.h %reldir%/step.c %reldir%/step.h %reldir%/step_ddp.c \
	%reldir%/step_deepspeed.c %reldir%/step_deepspeed.h %reldir%/step_deepspeed_bf16.c \
	%reldir%/step_ddp_powersgd.c %reldir%/step_ddp_powersgd.h \
	%reldir%/step_deepspeed0.c %reldir%/step_deepspeed12.c %reldir%/step_deepspeed3.c %reldir%/step_deepspeed3.h \
	%reldir%/step_deepspeed3_fetch.c %reldir%/step_deepspeed3_gather.c \
	%reldir%/step_deepspeed3_groups.c %reldir%/step_deepspeed3_leaf.c \
	%reldir%/step_deepspeed3_quantized.c %reldir%/step_deepspeed3_trace.c %reldir%/step_fsdp.h \
	%reldir%/step_fsdp1.c \
	%reldir%/step_fsdp2.c %reldir%/step_fsdp_unit.c %reldir%/step_fsdp_wrap.c \
	%reldir%/step_ops.c \
	%reldir%/step_paper.c %reldir%/step_walk.h

# -- how time passes
libzerosim_a_SOURCES += \
	%reldir%/timeline.c %reldir%/timeline.h %reldir%/sim.h %reldir%/sim_collective.c %reldir%/sim_collective_account.c \
	\
	%reldir%/sim_collective.h %reldir%/sim_engine.c %reldir%/sim_engine.h \
	%reldir%/sim_facts.c %reldir%/sim_facts.h %reldir%/sim_fold.c %reldir%/sim_fold.h %reldir%/sim_groups.c \
	%reldir%/sim_groups.h %reldir%/sim_host.c %reldir%/sim_host.h \
	%reldir%/sim_interference.c %reldir%/sim_interference.h \
	%reldir%/sim_maxmin.c %reldir%/sim_maxmin.h \
	%reldir%/sim_world.c %reldir%/sim_world.h \
	%reldir%/sim_network.c %reldir%/sim_network.h \
	%reldir%/sim_platform.c %reldir%/sim_program.c %reldir%/sim_program.h \
	%reldir%/sim_replay.c %reldir%/sim_replay.h %reldir%/sim_run.c %reldir%/sim_version.c \
	%reldir%/sim_version.h

# -- what it means
libzerosim_a_SOURCES += \
	%reldir%/memory.c %reldir%/memory.h %reldir%/memory_allocator.c \
	%reldir%/memory_allocator.h %reldir%/metrics.c %reldir%/metrics.h \
	%reldir%/metrics_comm.c %reldir%/metrics_comm.h %reldir%/metrics_time.c \
	%reldir%/metrics_time.h \
	%reldir%/explain.c %reldir%/explain.h %reldir%/explain_bandwidth.c \
	%reldir%/explain_contributors.c %reldir%/explain_links.c %reldir%/explain_path.c

# -- one run, whole
libzerosim_a_SOURCES += \
	%reldir%/predict.c %reldir%/predict.h %reldir%/predict_inputs.c \
	%reldir%/predict_record.c

# -- outputs
libzerosim_a_SOURCES += \
	%reldir%/report.c %reldir%/report.h %reldir%/report_csv.c %reldir%/report_formats.h \
	%reldir%/report_explain.c %reldir%/report_explain.h %reldir%/report_colour.c \
	%reldir%/report_colour.h %reldir%/report_grid.c %reldir%/report_grid.h %reldir%/report_json.c \
	%reldir%/report_paje.c %reldir%/report_table.c %reldir%/report_table.h \
	%reldir%/report_table_run.c %reldir%/report_trace.c %reldir%/report_trace.h \
	%reldir%/report_trace_ranks.c %reldir%/report_why.c

# -- predictions beside measurements
libzerosim_a_SOURCES += \
	%reldir%/validate.c %reldir%/validate.h %reldir%/validate_capacity.c \
	%reldir%/validate_case.c %reldir%/validate_case.h %reldir%/validate_csv.c \
	%reldir%/validate_csv.h %reldir%/validate_errors.c %reldir%/validate_errors.h \
	%reldir%/validate_estimator.c %reldir%/validate_estimator.h %reldir%/validate_memory.c \
	%reldir%/validate_model.c %reldir%/validate_nccl.c %reldir%/validate_platform.c \
	%reldir%/validate_record.c %reldir%/validate_record.h %reldir%/validate_report.c \
	%reldir%/validate_report.h %reldir%/validate_rows.h %reldir%/validate_run.c %reldir%/validate_shipped.c \
	%reldir%/validate_stand_in.c %reldir%/validate_stand_in.h %reldir%/validate_steps.c \
	%reldir%/validate_steps.h %reldir%/validate_steps_keys.c %reldir%/validate_steps_words.c %reldir%/validate_summary.c \
	%reldir%/validate_summary.h
libzerosim_a_SOURCES += \
	%reldir%/nccl_csv.c %reldir%/nccl_fit.c %reldir%/nccl_fit.h %reldir%/nccl_log.c \
	%reldir%/nccl_program.c %reldir%/nccl_program.h %reldir%/nccl_rows.c %reldir%/nccl_rows.h %reldir%/nccl_write.c %reldir%/nccl_write.h \
	%reldir%/cmd_nccl.c
libzerosim_a_SOURCES += %reldir%/cmd_validate.c %reldir%/metrics_expected.c \
	%reldir%/metrics_expected.h

# -- figures and pages
libzerosim_a_SOURCES += \
	%reldir%/plot.c %reldir%/plot.h %reldir%/plot_bars.c %reldir%/plot_lines.c \
	%reldir%/plot_time.c %reldir%/plot_validation.c %reldir%/report_html.c \
	%reldir%/report_html_explain.c \
	%reldir%/report_html.h %reldir%/report_html_parts.c %reldir%/report_html_parts.h \
	%reldir%/report_markdown.c %reldir%/report_markdown.h %reldir%/results_in.c \
	%reldir%/results_in.h %reldir%/results_table.c %reldir%/results_table.h

# -- program
libzerosim_a_SOURCES += \
	%reldir%/cmd.c %reldir%/cmd.h %reldir%/cmd_compare.c %reldir%/cmd_compare.h \
	%reldir%/cmd_compare_best.c %reldir%/cmd_compare_best.h %reldir%/cmd_compare_over.c \
	%reldir%/cmd_model.c %reldir%/cmd_options.c %reldir%/cmd_options.h %reldir%/cmd_over.c \
	%reldir%/cmd_over.h %reldir%/cmd_platform.c %reldir%/cmd_platform_show.c \
	%reldir%/cmd_platform_show.h %reldir%/cmd_plot.c %reldir%/cmd_progress.c \
	%reldir%/cmd_progress.h %reldir%/cmd_report.c %reldir%/cmd_profile.c %reldir%/cmd_run.c \
	%reldir%/cmd_schedule.c
