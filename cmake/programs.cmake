# The program `tape`, the benchmark program and the examples: all on the public headers only.
set(TAPE_PROGRAM_DIR ${PROJECT_BINARY_DIR}/bin)

function(tape_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE tape tape-flags m)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${TAPE_PROGRAM_DIR})
endfunction()

if(TAPE_BUILD_TOOLS)
  file(GLOB sources CONFIGURE_DEPENDS tools/cli/*.c)
  if(sources)
    tape_program(tape-cli ${sources})
    set_target_properties(tape-cli PROPERTIES OUTPUT_NAME tape
      INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
    # Where bundled data lies: beside the installed program, else in the source tree it was built from.
    file(RELATIVE_PATH data_from_program ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR}/tape)
    target_compile_definitions(tape-cli PRIVATE TAPE_DATA_FROM_PROGRAM="${data_from_program}"
      TAPE_DATA_SOURCE="${PROJECT_SOURCE_DIR}/tools/data")
  endif()
  file(GLOB sources CONFIGURE_DEPENDS tools/examples/*.c)
  foreach(source ${sources})
    cmake_path(GET source STEM name)
    tape_program(example-${name} ${source})
    set_target_properties(example-${name} PROPERTIES OUTPUT_NAME ${name}
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
  endforeach()
endif()

if(TAPE_BUILD_BENCH)
  file(GLOB sources CONFIGURE_DEPENDS bench/*.c)
  set(drawing tools/cli/page.c tools/cli/svg.c tools/cli/svg_bars.c tools/cli/text.c)
  tape_program(tape-bench ${sources} ${drawing})
  # What w11_footprint weighs: a small program, and the library in both kinds whichever is being built.
  tape_program(tape-bench-one bench/programs/one_gradient.c)
  tape_library(tape-bench-static STATIC)
  tape_library(tape-bench-shared SHARED)
  add_dependencies(tape-bench tape-bench-one tape-bench-static tape-bench-shared)
  set_target_properties(tape-bench-one tape-bench-static tape-bench-shared PROPERTIES EXCLUDE_FROM_ALL ON)
  target_compile_definitions(tape-bench PRIVATE TAPE_BENCH_JSON="${TAPE_PROGRAM_DIR}/tape-bench.json"
    TAPE_BENCH_ONE="$<TARGET_FILE:tape-bench-one>" TAPE_BENCH_STATIC="$<TARGET_FILE:tape-bench-static>"
    TAPE_BENCH_SHARED="$<TARGET_FILE:tape-bench-shared>")

  # Other libraries beside tape, each a program of its own that is built where the library is found.
  if(TAPE_BENCH_PEERS)
    include(cmake/peers.cmake)
  endif()
  add_custom_target(tape-bench-peers)
  foreach(peer libtorch openblas libxsmm adolc)
    string(TOUPPER ${peer} name)
    set(program "")
    if(TARGET tape-bench-${peer})
      set(program $<TARGET_FILE:tape-bench-${peer}>)
      set_target_properties(tape-bench-${peer} PROPERTIES EXCLUDE_FROM_ALL ON
        RUNTIME_OUTPUT_DIRECTORY ${TAPE_PROGRAM_DIR})
      add_dependencies(tape-bench-peers tape-bench-${peer})
    endif()
    target_compile_definitions(tape-bench PRIVATE TAPE_BENCH_${name}="${program}")
  endforeach()
endif()
