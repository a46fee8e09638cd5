# The programs that run the benchmark's workloads on other libraries. Their search stays in functions: what libtorch's
# package sets is not for the rest of the build.
function(tape_peer_libtorch)
  find_package(Torch QUIET)
  if(Torch_FOUND AND CMAKE_CXX_COMPILER)
    add_executable(tape-bench-libtorch bench/peers/libtorch.cpp)
    target_compile_features(tape-bench-libtorch PRIVATE cxx_std_17)
    target_link_libraries(tape-bench-libtorch PRIVATE ${TORCH_LIBRARIES})
  endif()
endfunction()

function(tape_peer_openblas)
  find_path(TAPE_CBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas openblas-pthread)
  find_library(TAPE_OPENBLAS openblas)
  if(TAPE_CBLAS_INCLUDE AND TAPE_OPENBLAS)
    add_executable(tape-bench-openblas bench/peers/openblas.c)
    target_include_directories(tape-bench-openblas SYSTEM PRIVATE ${TAPE_CBLAS_INCLUDE})
    target_compile_definitions(tape-bench-openblas PRIVATE _POSIX_C_SOURCE=200809L)
    target_link_libraries(tape-bench-openblas PRIVATE ${TAPE_OPENBLAS})
  endif()
endfunction()

tape_peer_libtorch()
tape_peer_openblas()
