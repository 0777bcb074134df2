# Every third party that the libraries link, found once. The project includes this file, and so does the installed
# weftConfig.cmake, so both see the same targets. weft_find(<package> <args...>) is find_package with the manners of
# the place where it is called: the project stops at once, a user's find_package(weft) gets a reason.
if(DEFINED CMAKE_FIND_PACKAGE_NAME)
  include(CMakeFindDependencyMacro)
  macro(weft_find)
    find_dependency(${ARGN})
  endmacro()
else()
  macro(weft_find)
    find_package(${ARGN} REQUIRED)
  endmacro()
endif()

weft_find(Threads)
weft_find(fmt)
weft_find(spdlog)
weft_find(yaml-cpp)
weft_find(ZLIB)
weft_find(PkgConfig)
if(NOT TARGET PkgConfig::weft_pc_zmq)
  pkg_check_modules(weft_pc_zmq REQUIRED QUIET IMPORTED_TARGET libzmq>=4.3)
endif()
if(NOT TARGET PkgConfig::weft_pc_xxhash)
  pkg_check_modules(weft_pc_xxhash REQUIRED QUIET IMPORTED_TARGET libxxhash)
endif()

# Header-only parties that no installed header shows: the project needs them, its users do not.
if(NOT DEFINED CMAKE_FIND_PACKAGE_NAME)
  weft_find(nlohmann_json 3.11)
  weft_find(CLI11)
endif()

# The names under which the layers link what has no good package of its own. Imported, so that an exported layer
# refers to them by name and this file makes them again on the user's side.
if(NOT TARGET weft::zmq)
  add_library(weft::zmq INTERFACE IMPORTED)
  target_link_libraries(weft::zmq INTERFACE PkgConfig::weft_pc_zmq)
endif()
if(NOT TARGET weft::xxhash)
  add_library(weft::xxhash INTERFACE IMPORTED)
  target_link_libraries(weft::xxhash INTERFACE PkgConfig::weft_pc_xxhash)
endif()
# msgpack-cxx's own package asks for Boost, which Weft does not use.
if(NOT TARGET weft::msgpack)
  find_path(WEFT_MSGPACK_INCLUDE msgpack.hpp REQUIRED)
  mark_as_advanced(WEFT_MSGPACK_INCLUDE)
  add_library(weft::msgpack INTERFACE IMPORTED)
  target_compile_definitions(weft::msgpack INTERFACE MSGPACK_NO_BOOST)
  target_include_directories(weft::msgpack INTERFACE ${WEFT_MSGPACK_INCLUDE})
endif()
