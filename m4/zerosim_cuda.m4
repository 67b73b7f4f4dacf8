dnl SPDX-License-Identifier: MIT
dnl Finds what zerosim-calibrate is built with: nvcc that works, the architectures it knows, and
dnl cuDNN and NCCL in the layouts of the toolkit, of packages and of Python wheels.

dnl ZS_NVCC_LINK(PROGRAM, FLAGS, LIBRARIES, IF-TRUE, IF-FALSE)
AC_DEFUN([ZS_NVCC_LINK], [
    AS_ECHO(["$1"]) >conftest.cu
    AS_IF([$NVCC $NVCCFLAGS $2 -o conftest$EXEEXT conftest.cu $3 >&AS_MESSAGE_LOG_FD 2>&1], [$4], [$5])
    rm -f conftest.cu conftest$EXEEXT
])

dnl ZS_CUDA_LIBRARY(NAME, HEADER, CALL, DEFAULT-LIBRARY, LIBRARY-OF-A-WHEEL): sets have_NAME and
dnl appends to CUDA_CPPFLAGS and CUDA_LIBS.
AC_DEFUN([ZS_CUDA_LIBRARY], [
    have_$1=no
    zs_flags= zs_directories= zs_libraries="$4 $5"
    AS_CASE([$with_$1], [no | guess | yes], [], [
        zs_flags="-I$with_$1/include"
        zs_directories="-L$with_$1/lib -L$with_$1/lib64"
        zs_libraries="$5 $4" # else a wheel's header would meet the toolkit's library
        dnl nvcc would look on, and find the toolkit's.
        AS_IF([test ! -f "$with_$1/include/$2"],
            [AC_MSG_ERROR([$with_$1/include/$2 is missing: --with-$1 wants the folder that holds include and lib])])])
    AS_IF([test "x$with_$1" != xno], [
        AC_MSG_CHECKING([for $1])
        for zs_library in $zs_libraries; do
            AS_IF([test $have_$1 = no], [
                ZS_NVCC_LINK([#include <$2>
int main(void) { $3; return 0; }], [$zs_flags], [$zs_directories $zs_library], [
                    have_$1=yes
                    CUDA_CPPFLAGS="$CUDA_CPPFLAGS $zs_flags"
                    CUDA_LIBS="$CUDA_LIBS $zs_directories $zs_library"])])
        done
        AC_MSG_RESULT([$have_$1])
        AS_IF([test "$have_$1:$with_$1" != no:guess && test $have_$1 = no],
            [AC_MSG_ERROR([$1 was asked for, but $2 or its library is missing (see config.log)])])
    ])
])

AC_DEFUN([ZS_CUDA], [
    AC_ARG_WITH([cuda],
        [AS_HELP_STRING([--with-cuda@<:@=DIR@:>@],
            [build zerosim-calibrate (default: if nvcc works)])], [], [with_cuda=guess])
    AC_ARG_WITH([cudnn],
        [AS_HELP_STRING([--with-cudnn@<:@=DIR@:>@], [cuDNN, with DIR/include and DIR/lib])],
        [], [with_cudnn=guess])
    AC_ARG_WITH([nccl],
        [AS_HELP_STRING([--with-nccl@<:@=DIR@:>@], [NCCL, with DIR/include and DIR/lib])],
        [], [with_nccl=guess])
    AC_ARG_VAR([NVCC], [CUDA compiler])
    AC_ARG_VAR([CUDA_ARCHITECTURES], [compute capabilities to build for, such as "80 90"])

    have_cuda=no
    dnl What gcc instruments nvcc can't link.
    AS_CASE([$with_cuda:$enable_sanitizers:$enable_coverage],
        [guess:yes:* | guess:*:yes], [with_cuda=no])
    NVCCFLAGS="-std=c++20 -O2"
    AS_CASE([$with_cuda],
        [no], [],
        [guess | yes], [AC_PATH_PROG([NVCC], [nvcc], [], [$PATH:/usr/local/cuda/bin])],
        [NVCC=${NVCC-$with_cuda/bin/nvcc}])
    AS_IF([test "x$with_cuda" != xno], [
        AC_MSG_CHECKING([whether nvcc works, with cuBLASLt])
        AS_IF([test -n "$NVCC"], [
            ZS_NVCC_LINK([#include <cublasLt.h>
int main(void) { return cublasLtGetVersion() == 0; }], [], [-lcublasLt], [have_cuda=yes])])
        AC_MSG_RESULT([$have_cuda])
        AS_IF([test $have_cuda = no && test "x$with_cuda" != xguess],
            [AC_MSG_ERROR([CUDA was asked for, but nvcc (CUDA 12 or newer) doesn't work (see config.log)])])
    ])

    CUDA_CPPFLAGS= CUDA_LIBS=
    AS_IF([test $have_cuda = yes], [
        AC_MSG_CHECKING([for architectures that nvcc knows])
        zs_known=`$NVCC --list-gpu-arch | sed -n 's/^compute_//p'`
        zs_found= zs_generate=
        for zs_arch in ${CUDA_ARCHITECTURES-80 90 100}; do
            AS_IF([AS_ECHO(["$zs_known"]) | grep -qx "$zs_arch"], [
                zs_found="$zs_found $zs_arch"
                zs_last=$zs_arch
                zs_generate="$zs_generate -gencode arch=compute_$zs_arch,code=sm_$zs_arch"])
        done
        AS_IF([test -z "$zs_found"],
            [AC_MSG_ERROR([nvcc knows none of ${CUDA_ARCHITECTURES-80 90 100}; set CUDA_ARCHITECTURES to some of:] $zs_known)])
        AC_MSG_RESULT([$zs_found])
        dnl What comes after the last is compiled by the driver.
        zs_generate="$zs_generate -gencode arch=compute_$zs_last,code=compute_$zs_last"
        CUDA_ARCHITECTURES=`AS_ECHO(["$zs_found"]) | sed 's/^ *//'`
        ZS_CUDA_LIBRARY([cudnn], [cudnn.h], [cudnnGetVersion()], [-lcudnn], [-l:libcudnn.so.9])
        ZS_CUDA_LIBRARY([nccl], [nccl.h], [int v; ncclGetVersion(&v)], [-lnccl], [-l:libnccl.so.2])
        AS_IF([test $have_cudnn = yes], [CUDA_CPPFLAGS="$CUDA_CPPFLAGS -DHAVE_CUDNN=1"])
        AS_IF([test $have_nccl = yes], [CUDA_CPPFLAGS="$CUDA_CPPFLAGS -DHAVE_NCCL=1"])
        NVCCFLAGS="$NVCCFLAGS --expt-relaxed-constexpr $zs_generate"

        AC_MSG_CHECKING([for a static jansson])
        zs_static=-l:libjansson.a
        ZS_NVCC_LINK([#include <jansson.h>
int main(void) { json_decref(json_object()); return 0; }],
            [$JANSSON_CFLAGS], [$zs_static], [AC_MSG_RESULT([yes])], [
            AC_MSG_RESULT([no])
            zs_static=$JANSSON_LIBS])
        CUDA_LIBS="$CUDA_LIBS -lcublasLt $zs_static -ldl"
    ])
    AC_SUBST([NVCCFLAGS])
    AC_SUBST([CUDA_CPPFLAGS])
    AC_SUBST([CUDA_LIBS])
    AM_CONDITIONAL([HAVE_CUDA], [test $have_cuda = yes])
    AM_CONDITIONAL([HAVE_CUDNN], [test "$have_cudnn" = yes])
])
