# What `cmake --install` lays down: headers, library, CMake package, tape.pc, the program, its data, manual pages.
