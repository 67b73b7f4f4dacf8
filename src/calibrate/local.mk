# SPDX-License-Identifier: MIT
# zerosim-calibrate: plain C compiled as usual, CUDA by nvcc, which also links.

CALIBRATE_PLAN = \
	%reldir%/ops.c %reldir%/plan.c %reldir%/plan.h %reldir%/plan_grid.c \
	%reldir%/plan_models.c %reldir%/plan_shapes.h

CALIBRATE_PROFILE = \
	%reldir%/bench.h %reldir%/profile_facts.c %reldir%/profile_out.c %reldir%/profile_out.h \
	%reldir%/profile_rows.c

CALIBRATE_C = $(CALIBRATE_PLAN) $(CALIBRATE_PROFILE) \
	%reldir%/calibrate.c %reldir%/nvml.c %reldir%/nvml.h \
	%reldir%/options.c %reldir%/options.h %reldir%/progress.c %reldir%/progress.h

CALIBRATE_CUH = \
	%reldir%/bench.cuh %reldir%/cudnn_graph.cuh %reldir%/passes.cuh %reldir%/reduce.cuh \
	%reldir%/timing.cuh

CALIBRATE_CU = \
	%reldir%/attention.cu %reldir%/bench.cu %reldir%/chain.cu %reldir%/cnn.cu \
	%reldir%/collective.cu %reldir%/elementwise.cu %reldir%/embedding.cu %reldir%/gemm.cu \
	%reldir%/interference.cu %reldir%/launch.cu %reldir%/memory.cu %reldir%/norm.cu \
	%reldir%/norm_python.cu %reldir%/operands.cu %reldir%/optimizer.cu %reldir%/softmax.cu \
	%reldir%/timing.cu
CALIBRATE_CUDNN = %reldir%/cudnn_graph.cu

EXTRA_DIST += $(CALIBRATE_C) $(CALIBRATE_CUH) $(CALIBRATE_CU) $(CALIBRATE_CUDNN)

if HAVE_CUDA
bin_PROGRAMS += zerosim-calibrate
zerosim_calibrate_SOURCES = $(CALIBRATE_C)
CALIBRATE_OBJECTS = $(CALIBRATE_CU:.cu=.$(OBJEXT))
if HAVE_CUDNN
CALIBRATE_OBJECTS += $(CALIBRATE_CUDNN:.cu=.$(OBJEXT))
endif
zerosim_calibrate_LDADD = $(CALIBRATE_OBJECTS) $(CUDA_LIBS)
zerosim_calibrate_DEPENDENCIES = $(CALIBRATE_OBJECTS)
zerosim_calibrate_LINK = $(NVCC) $(NVCCFLAGS) -o $@
CLEANFILES += $(CALIBRATE_OBJECTS)

AM_V_NVCC = $(AM_V_NVCC_@AM_V@)
AM_V_NVCC_ = $(AM_V_NVCC_@AM_DEFAULT_V@)
AM_V_NVCC_0 = @echo "  NVCC    " $@;
SUFFIXES = .cu
.cu.$(OBJEXT):
	$(AM_V_NVCC)$(MKDIR_P) $(@D) && $(NVCC) $(NVCCFLAGS) $(CUDA_CPPFLAGS) \
		-DCUDA_ARCHITECTURES='"$(CUDA_ARCHITECTURES)"' \
		-Xcompiler -Wall,-Wextra,-Wno-deprecated-declarations -c -o $@ $<
$(CALIBRATE_OBJECTS): $(CALIBRATE_CUH) %reldir%/bench.h %reldir%/nvml.h %reldir%/plan.h
endif
