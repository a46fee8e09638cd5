# tape-flags: the language level, warnings and code generation that every file of ours is compiled with.
# Nothing here may change a value: contraction is off, and no fast-math flag is ever used.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(tape-flags INTERFACE)
target_compile_definitions(tape-flags INTERFACE _DEFAULT_SOURCE _POSIX_C_SOURCE=200809L)
# Nobody may replace one of our functions at run time, so the compiler may inline the exported ones too.
target_compile_options(tape-flags INTERFACE -fno-semantic-interposition
  -ffp-contract=off -fno-math-errno -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)
if(TAPE_WERROR)
  target_compile_options(tape-flags INTERFACE -Werror)
endif()
if(TAPE_SANITIZE)
  target_compile_options(tape-flags INTERFACE
    -fsanitize=${TAPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(tape-flags INTERFACE -fsanitize=${TAPE_SANITIZE})
endif()
if(TAPE_COVERAGE)
  target_compile_options(tape-flags INTERFACE --coverage)
  target_link_options(tape-flags INTERFACE --coverage)
endif()
