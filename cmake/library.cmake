# The library `tape` (tape::tape) from the object libraries, and `tape-internal`: always static, for tests that reach
# functions which the shared library hides.
function(tape_library name type)
  add_library(${name} ${type})
  if(TAPE_OBJECT_LIBRARIES)
    foreach(objects ${TAPE_OBJECT_LIBRARIES})
      target_sources(${name} PRIVATE $<TARGET_OBJECTS:${objects}>)
    endforeach()
  else()
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/empty.c CONTENT "typedef int tape__empty;\n")
    target_sources(${name} PRIVATE ${PROJECT_BINARY_DIR}/empty.c)
  endif()
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C)
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  # Plain names, not imported targets: a consumer of the installed static library needs no Find module for them.
  foreach(package ${TAPE_PACKAGES})
    target_link_libraries(${name} PRIVATE ${${package}_LIBRARIES})
    target_link_directories(${name} PUBLIC "$<BUILD_INTERFACE:${${package}_LIBRARY_DIRS}>")
  endforeach()
  target_link_libraries(${name} PRIVATE Threads::Threads m $<BUILD_INTERFACE:tape-flags>)
  # Names that a linker makes __start_ and __stop_ symbols for: lib/caller.c tells our functions from the program's.
  if(type STREQUAL "STATIC" AND TAPE_HAVE_BACKTRACE AND CMAKE_OBJCOPY)
    add_custom_command(TARGET ${name} POST_BUILD VERBATIM COMMAND ${CMAKE_OBJCOPY}
      --rename-section .text=tape_text --rename-section .text.hot=tape_text
      --rename-section .text.unlikely=tape_text_cold --rename-section .text.startup=tape_text_cold
      $<TARGET_FILE:${name}>)
  endif()
endfunction()

if(BUILD_SHARED_LIBS)
  tape_library(tape SHARED)
  include(CheckLinkerFlag)
  check_linker_flag(C -Wl,-Bsymbolic-functions,--no-undefined TAPE_HAVE_LINKER_FLAGS)
  if(TAPE_HAVE_LINKER_FLAGS AND NOT TAPE_SANITIZE)
    target_link_options(tape PRIVATE -Wl,-Bsymbolic-functions,--no-undefined)
  endif()
  tape_library(tape-internal STATIC)
  set_target_properties(tape-internal PROPERTIES EXCLUDE_FROM_ALL ON)
else()
  tape_library(tape STATIC)
  add_library(tape-internal ALIAS tape)
endif()
add_library(tape::tape ALIAS tape)
set_target_properties(tape PROPERTIES VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
