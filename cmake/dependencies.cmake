# Finds what the library links: threads always, SLEEF, zlib, LAPACK and a CBLAS as the options say.
# Sets TAPE_PACKAGES (those in use) and, for each, <package>_INCLUDE_DIRS, _LIBRARY_DIRS, _LIBRARIES and _MODULE_NAME.
set(CMAKE_THREAD_PREFER_PTHREAD ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig)

# tape_find_pkg(<prefix> <option value> <modules> <Debian package>): pkg-config under the AUTO/ON/OFF convention; the
# first of the modules that there is.
function(tape_find_pkg prefix wanted module package)
  set(found OFF)
  if(wanted)
    if(PKG_CONFIG_FOUND)
      pkg_search_module(${prefix} QUIET ${module})
    endif()
    if(${prefix}_FOUND)
      set(found ON)
    elseif(NOT wanted STREQUAL "AUTO")
      list(JOIN module " or " names)
      message(FATAL_ERROR "tape: ${names} not found by pkg-config.\n"
        "  On Debian: apt-get install ${package} pkg-config\n"
        "  Without it: configure with -DTAPE_${prefix}=OFF")
    endif()
  endif()
  set(TAPE_HAVE_${prefix} ${found} PARENT_SCOPE)
  set(${prefix}_INCLUDE_DIRS "${${prefix}_INCLUDE_DIRS}" PARENT_SCOPE)
  set(${prefix}_LIBRARY_DIRS "${${prefix}_LIBRARY_DIRS}" PARENT_SCOPE)
  set(${prefix}_LIBRARIES "${${prefix}_LIBRARIES}" PARENT_SCOPE)
  set(${prefix}_MODULE_NAME "${${prefix}_MODULE_NAME}" PARENT_SCOPE)
endfunction()

tape_find_pkg(SLEEF ${TAPE_SLEEF} sleef libsleef-dev)
tape_find_pkg(ZLIB ${TAPE_ZLIB} zlib zlib1g-dev)
tape_find_pkg(LAPACK ${TAPE_LAPACK} lapacke liblapacke-dev)
set(cblas openblas cblas blas)
if(NOT TAPE_CBLAS MATCHES "^(ON|OFF|AUTO)$")
  set(cblas ${TAPE_CBLAS})
endif()
tape_find_pkg(CBLAS ${TAPE_CBLAS} "${cblas}" libopenblas-dev)

set(TAPE_PACKAGES "")
foreach(prefix SLEEF ZLIB LAPACK CBLAS)
  if(TAPE_HAVE_${prefix})
    list(APPEND TAPE_PACKAGES ${prefix})
  endif()
  message(STATUS "tape: ${prefix} ${TAPE_HAVE_${prefix}}")
endforeach()

# Tracing names callers where the C library can walk the stack and find symbols (glibc 2.34 and newer).
include(CheckCSourceCompiles)
check_c_source_compiles("
  #define _GNU_SOURCE
  #include <dlfcn.h>
  #include <execinfo.h>
  #include <sys/auxv.h>
  int main(void)
  {
      void *frame[1];
      Dl_info info;
      return backtrace(frame, 1) == 1 && dladdr(frame[0], &info) && getauxval(AT_ENTRY) ? 0 : 1;
  }" TAPE_HAVE_BACKTRACE)
