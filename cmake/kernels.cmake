# Compiles lib/kernels/*.c once per instruction set and lib/kernels/any/*.c once, as object libraries.
# Sets TAPE_ISAS (built in, baseline first) and TAPE_OBJECT_LIBRARIES.
file(GLOB TAPE_KERNEL_SOURCES CONFIGURE_DEPENDS lib/kernels/*.c)
file(GLOB TAPE_PLAIN_SOURCES CONFIGURE_DEPENDS lib/*.c lib/ops/*.c lib/kernels/any/*.c)

include(CheckCCompilerFlag)
check_c_compiler_flag(-Oz TAPE_HAVE_OZ)
set(smallest $<IF:$<BOOL:${TAPE_HAVE_OZ}>,-Oz,-Os>)

# Never -Os with AVX: GCC then leaves out vzeroupper, and all code that follows runs slower.
set(TAPE_FLAGS_sse2 $<$<CONFIG:Release>:${smallest}>)
set(TAPE_FLAGS_avx2 -mavx2 -mfma $<$<CONFIG:Release>:-O2>)
set(TAPE_FLAGS_neon $<$<CONFIG:Release>:-O2>)
set(TAPE_FLAGS_avx512 -mavx512f -mavx512dq -mavx512vl -mavx512bw -mavx2 -mfma $<$<CONFIG:Release>:-O2>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(TAPE_ISAS sse2 avx2)
  if(TAPE_AVX512)
    list(APPEND TAPE_ISAS avx512)
  endif()
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(TAPE_ISAS neon)
else()
  set(TAPE_ISAS generic)
endif()

# Release builds are small where that costs nothing: what runs once an op, or loops over elements, is compiled for speed,
# the rest for size.
file(GLOB fast CONFIGURE_DEPENDS lib/adjoint.c lib/arena.c lib/backward.c lib/base.c lib/kept.c lib/leaf.c lib/memo.c lib/optim.c
  lib/plan.c lib/recall.c lib/run.c lib/shape.c lib/sweep.c lib/tape.c lib/visit.c lib/visit_ewise.c lib/ops/check.c
  lib/ops/cross_entropy.c lib/ops/elementwise.c lib/ops/linalg.c lib/ops/linear.c lib/ops/product.c
  lib/ops/reduce.c lib/ops/shape.c lib/ops/statistics.c lib/kernels/any/ewise_code.c lib/kernels/any/ewise_few.c
  lib/kernels/any/ewise_run.c lib/kernels/any/ewise_uses.c lib/kernels/any/conv_s*.c lib/kernels/any/conv_weight.c
  lib/kernels/any/reduce_driver.c lib/kernels/any/scan.c lib/kernels/any/softmax_driver.c)
file(GLOB vectorised CONFIGURE_DEPENDS lib/optim_update_f32.c lib/kernels/any/attention.c
  lib/kernels/any/copy.c lib/kernels/any/ewise_driver.c lib/kernels/any/gemm_driver.c lib/kernels/any/conv_patch.c
  lib/kernels/any/finite.c lib/kernels/any/pool.c lib/kernels/any/random.c lib/kernels/any/reduce_arg.c
  lib/kernels/any/fft.c)
set(small ${TAPE_PLAIN_SOURCES})
list(REMOVE_ITEM small ${fast} ${vectorised})
# Functions are inlined where they say so, are called once or shrink the code. GCC's choice among the others costs 9 KB and
# no workload gains by it.
set(alone $<$<C_COMPILER_ID:GNU>:-fno-inline-functions>)
set(vectorise "$<$<C_COMPILER_ID:GNU>:-O2;-ftree-vectorize;-fvect-cost-model=cheap;-funswitch-loops>")
set(baseline $<STREQUAL:$<TARGET_PROPERTY:NAME>,tape-kernels-sse2>)
set_property(SOURCE lib/kernels/norm.c PROPERTY COMPILE_OPTIONS
  "$<$<AND:$<CONFIG:Release>,$<NOT:${baseline}>>:-O3;$<$<C_COMPILER_ID:GNU>:-fno-split-loops>;${alone}>")
set_property(SOURCE ${small} PROPERTY COMPILE_OPTIONS "$<$<CONFIG:Release>:${smallest}>")
set_property(SOURCE ${fast} PROPERTY COMPILE_OPTIONS "$<$<CONFIG:Release>:-O2;${alone}>")
set_property(SOURCE ${vectorised} PROPERTY COMPILE_OPTIONS "$<$<CONFIG:Release>:${vectorise};${alone}>")
# GCC clears and copies structures with instructions that repeat, which take tens of cycles to start.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND TAPE_ISAS MATCHES "sse2")
  set_property(SOURCE ${fast} ${vectorised} lib/ops/join.c lib/ops/slice.c APPEND PROPERTY COMPILE_OPTIONS
    "$<$<CONFIG:Release>:-mstringop-strategy=libcall>")
  list(APPEND TAPE_FLAGS_avx2 $<$<CONFIG:Release>:-mstringop-strategy=libcall>)
endif()
# Its conditions are the same for all elements: to choose among values is cheaper than a loop for each. Choosing is only
# allowed where an exception that the other value would raise does not matter; no value depends on that.
set_property(SOURCE lib/optim_update_f32.c APPEND PROPERTY COMPILE_OPTIONS
  "$<$<AND:$<CONFIG:Release>,$<C_COMPILER_ID:GNU>>:-fno-unswitch-loops;-fno-trapping-math>")
# Padding pays in the loops of products alone; a tile's should begin on a line of the cache, or a processor that two
# threads share cannot feed it.
set_property(SOURCE ${TAPE_KERNEL_SOURCES} ${TAPE_PLAIN_SOURCES} APPEND PROPERTY COMPILE_OPTIONS
  "$<$<AND:$<CONFIG:Release>,$<C_COMPILER_ID:GNU>>:-fno-align-functions;-fno-align-loops;-fno-align-jumps;-fno-align-labels>")
set_property(SOURCE lib/kernels/gemm.c lib/kernels/gemm_thin.c APPEND PROPERTY COMPILE_OPTIONS
  "$<$<AND:$<CONFIG:Release>,$<C_COMPILER_ID:GNU>,$<STREQUAL:$<TARGET_PROPERTY:NAME>,tape-kernels-avx2>>:-falign-loops=64>")

# Unwind tables would be a tenth of the library, and only tape_trace_nonfinite() reads them, to find who recorded an op.
# It can follow frame pointers instead: of every function of the core that a record may lie below. Hot files do without,
# but leave the register alone; their public functions (lib/ops/elementwise.c) say who called them.
set(unwind $<$<CONFIG:Release>:-fno-asynchronous-unwind-tables>)
set(TAPE_FRAMES OFF)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$" AND NOT TAPE_SANITIZE
   AND NOT CMAKE_INTERPROCEDURAL_OPTIMIZATION AND NOT CMAKE_C_FLAGS MATCHES "-flto")
  set(TAPE_FRAMES $<CONFIG:Release>)
  set(framed ${TAPE_PLAIN_SOURCES})
  file(GLOB unframed CONFIGURE_DEPENDS lib/adjoint.c lib/arena.c lib/base.c lib/leaf.c lib/mark.c lib/parallel.c
    lib/run.c lib/shape.c lib/sweep.c lib/tape.c lib/visit.c lib/visit_ewise.c lib/ops/check.c
    lib/ops/elementwise.c)
  file(GLOB below CONFIGURE_DEPENDS lib/batches.c lib/checkpoint.c lib/data.c lib/data_csv.c lib/data_idx.c lib/dispatch.c
    lib/events.c lib/format.c lib/io_*.c lib/kit.c lib/optim*.c lib/params.c lib/profile*.c lib/safetensors*.c
    lib/kernels/any/*.c)
  list(REMOVE_ITEM framed ${unframed} ${below})
  set_property(SOURCE ${framed} APPEND PROPERTY COMPILE_OPTIONS "$<$<CONFIG:Release>:-fno-omit-frame-pointer>")
  set_property(SOURCE ${unframed} APPEND PROPERTY COMPILE_OPTIONS
    "$<$<CONFIG:Release>:-ffixed-rbp;-foptimize-sibling-calls>")
endif()

# tape_objects(<name> <sources>...): an object library of the core with its private include directories.
function(tape_objects name)
  add_library(${name} OBJECT ${ARGN})
  target_include_directories(${name} PRIVATE include lib)
  target_link_libraries(${name} PRIVATE tape-flags Threads::Threads)
  target_compile_definitions(${name} PRIVATE TAPE__SLEEF=$<BOOL:${TAPE_HAVE_SLEEF}>
    TAPE__ZLIB=$<BOOL:${TAPE_HAVE_ZLIB}> TAPE__LAPACK=$<BOOL:${TAPE_HAVE_LAPACK}>
    TAPE__CBLAS=$<BOOL:${TAPE_HAVE_CBLAS}>
    TAPE__BACKTRACE=$<BOOL:${TAPE_HAVE_BACKTRACE}> TAPE__FRAMES=$<BOOL:${TAPE_FRAMES}>)
  foreach(isa ${TAPE_ISAS})
    string(TOUPPER ${isa} ISA)
    target_compile_definitions(${name} PRIVATE TAPE__HAVE_${ISA})
  endforeach()
  foreach(package ${TAPE_PACKAGES})
    target_include_directories(${name} SYSTEM PRIVATE ${${package}_INCLUDE_DIRS})
  endforeach()
endfunction()

set(TAPE_OBJECT_LIBRARIES "")
if(TAPE_PLAIN_SOURCES)
  tape_objects(tape-core ${TAPE_PLAIN_SOURCES})
  if(TAPE_FRAMES)
    target_compile_options(tape-core PRIVATE ${unwind})
  endif()
  list(APPEND TAPE_OBJECT_LIBRARIES tape-core)
endif()
if(TAPE_KERNEL_SOURCES)
  foreach(isa ${TAPE_ISAS})
    string(TOUPPER ${isa} ISA)
    set(sources ${TAPE_KERNEL_SOURCES})
    if(isa STREQUAL "avx512" AND NOT TAPE_AVX512 STREQUAL "ALL")
      list(FILTER sources INCLUDE REGEX "/(gemm|table)\\.c$")
    endif()
    tape_objects(tape-kernels-${isa} ${sources})
    target_compile_definitions(tape-kernels-${isa} PRIVATE TAPE__ISA_${ISA})
    target_compile_options(tape-kernels-${isa} PRIVATE ${TAPE_FLAGS_${isa}} ${unwind})
    if(isa STREQUAL "avx512" AND TAPE_AVX512 STREQUAL "ALL")
      target_compile_definitions(tape-kernels-avx512 PRIVATE TAPE__AVX512_ALL)
    endif()
    list(APPEND TAPE_OBJECT_LIBRARIES tape-kernels-${isa})
  endforeach()
endif()
