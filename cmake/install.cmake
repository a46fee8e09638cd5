# What `cmake --install` lays down: headers, library, CMake package, tape.pc, the program, its data, manual pages.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/tape DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp" PATTERN "*.def")
install(TARGETS tape EXPORT tape-targets)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tape)
install(EXPORT tape-targets NAMESPACE tape:: DESTINATION ${package_dir})
configure_package_config_file(cmake/tape-config.cmake.in ${PROJECT_BINARY_DIR}/package/tape-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/tape-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/tape-config.cmake ${PROJECT_BINARY_DIR}/package/tape-config-version.cmake
  DESTINATION ${package_dir})

set(TAPE_PC_REQUIRES "")
if(TAPE_HAVE_SLEEF)
  list(APPEND TAPE_PC_REQUIRES sleef)
endif()
if(TAPE_HAVE_ZLIB)
  list(APPEND TAPE_PC_REQUIRES zlib)
endif()
if(TAPE_HAVE_LAPACK)
  list(APPEND TAPE_PC_REQUIRES lapacke)
endif()
if(TAPE_HAVE_CBLAS)
  list(APPEND TAPE_PC_REQUIRES ${CBLAS_MODULE_NAME})
endif()
list(JOIN TAPE_PC_REQUIRES ", " TAPE_PC_REQUIRES)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE TAPE_PREFIX_FROM_PC)
configure_file(cmake/tape.pc.in ${PROJECT_BINARY_DIR}/package/tape.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/tape.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET tape-cli)
  install(TARGETS tape-cli)
  install(DIRECTORY tools/data/ DESTINATION ${CMAKE_INSTALL_DATADIR}/tape OPTIONAL)
endif()
foreach(section 1 3)
  file(GLOB pages CONFIGURE_DEPENDS man/*.${section})
  if(pages)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endif()
endforeach()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
