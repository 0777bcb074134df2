# weft_layer, weft_umbrella and weft_program: one short call declares a layer or a program. Sources are globbed, so a
# new file needs no change here. Also the one target that carries the project's own flags.

if(PROJECT_IS_TOP_LEVEL AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(WEFT_CCACHE ccache)
  mark_as_advanced(WEFT_CCACHE)
  if(WEFT_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${WEFT_CCACHE})
  endif()
endif()

# Our own build flags. Linked privately by everything that is built here and never exported.
add_library(weft_flags INTERFACE)
target_compile_features(weft_flags INTERFACE cxx_std_20)
target_compile_options(weft_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                                            -Woverloaded-virtual -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # Designated initialisers with defaults are our option style; clang warns about what g++ accepts.
  target_compile_options(weft_flags INTERFACE -Wno-missing-field-initializers)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms of g++ 12 as soon as it optimises: overlapping copies inside `"text" + string` of its own library
  # (PR 105651), and the unused room of an empty std::optional (PR 80635). clang-tidy and the sanitizers see real ones.
  target_compile_options(weft_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(WEFT_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # A source that is included is taken for a header, where a private type inside a public one would be a slip.
  target_compile_options(weft_flags INTERFACE -Wno-subobject-linkage)
endif()
if(WEFT_WERROR)
  target_compile_options(weft_flags INTERFACE -Werror)
endif()

set(WEFT_SANITIZE_FLAGS "")
if(WEFT_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "WEFT_FUZZ needs clang, found ${CMAKE_CXX_COMPILER_ID}: configure with `cmake --preset fuzz`")
  endif()
  set(WEFT_SANITIZE_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_compile_options(weft_flags INTERFACE -fsanitize=fuzzer-no-link)
elseif(WEFT_SANITIZE)
  set(WEFT_SANITIZE_FLAGS -fsanitize=${WEFT_SANITIZE} -fno-omit-frame-pointer)
  if(WEFT_SANITIZE MATCHES undefined)
    # vptr: it opens a pipe to look at an object, and where a test leaves no descriptor takes each one for broken.
    list(APPEND WEFT_SANITIZE_FLAGS -fno-sanitize-recover=undefined -fno-sanitize=vptr)
  endif()
  # Each test is a process: at a place of their own, sanitized programs start in a bit over half the time.
  target_compile_options(weft_flags INTERFACE -fno-pie)
  target_link_options(weft_flags INTERFACE -no-pie)
endif()
if(WEFT_SANITIZE_FLAGS)
  target_compile_options(weft_flags INTERFACE ${WEFT_SANITIZE_FLAGS})
  target_link_options(weft_flags INTERFACE ${WEFT_SANITIZE_FLAGS})
endif()

set(WEFT_LAYERS "")

# weft_layer(<name> [USES layer...] [THIRD_PARTY target...] [HEADER_ONLY target...] [PUBLIC_THIRD_PARTY target...])
# Sources are src/<name>/*.cpp, public headers include/weft/<name>/*.hpp. THIRD_PARTY and HEADER_ONLY are for sources
# only, and a HEADER_ONLY one leaves no trace in the installed package; PUBLIC_THIRD_PARTY reaches users through public
# headers. A layer without sources yet is an interface library, so the others can already name it.
function(weft_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "USES;THIRD_PARTY;HEADER_ONLY;PUBLIC_THIRD_PARTY")
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "weft_layer(${name}): unknown arguments ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  foreach(used IN LISTS ARG_USES)
    if(NOT used IN_LIST WEFT_LAYERS)
      message(FATAL_ERROR "weft_layer(${name}) uses ${used}, which is not declared above it")
    endif()
  endforeach()

  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  if(sources)
    set(scope PUBLIC)
    add_library(weft_${name} STATIC ${sources})
    target_include_directories(weft_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(weft_${name} PRIVATE $<BUILD_INTERFACE:weft_flags>)
    foreach(party IN LISTS ARG_THIRD_PARTY)
      target_link_libraries(weft_${name} PRIVATE ${party})
    endforeach()
    foreach(party IN LISTS ARG_HEADER_ONLY)
      target_link_libraries(weft_${name} PRIVATE $<BUILD_INTERFACE:${party}>)
    endforeach()
  else()
    set(scope INTERFACE)
    add_library(weft_${name} INTERFACE)
  endif()
  add_library(weft::${name} ALIAS weft_${name})
  set_target_properties(weft_${name} PROPERTIES EXPORT_NAME ${name} OUTPUT_NAME weft_${name})
  if(WEFT_FUZZ)  # only what a fuzz target links
    set_target_properties(weft_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  target_compile_features(weft_${name} ${scope} cxx_std_20)
  target_include_directories(weft_${name} ${scope} $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                   $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  set_target_properties(weft_${name} PROPERTIES UNITY_BUILD "${WEFT_UNITY}")
  foreach(used IN LISTS ARG_USES)
    target_link_libraries(weft_${name} ${scope} weft_${used})
  endforeach()
  foreach(party IN LISTS ARG_PUBLIC_THIRD_PARTY)
    target_link_libraries(weft_${name} ${scope} ${party})
  endforeach()
  set(WEFT_LAYERS ${WEFT_LAYERS} ${name} PARENT_SCOPE)
endfunction()

# weft::weft is what a user links: every layer. (The plain target name `weft` belongs to the program.)
function(weft_umbrella)
  add_library(weft_umbrella INTERFACE)
  add_library(weft::weft ALIAS weft_umbrella)
  set_target_properties(weft_umbrella PROPERTIES EXPORT_NAME weft)
  foreach(layer IN LISTS WEFT_LAYERS)
    target_link_libraries(weft_umbrella INTERFACE weft_${layer})
  endforeach()
endfunction()

# All programs and nothing else: what a user builds who does not run the tests.
add_custom_target(weft_programs)

# weft_program(<name> [USES layer...] [LIBS target...]): the program <name> from apps/<name>/*.cpp and the folders in it,
# built into bin/ and installed.
function(weft_program name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "USES;LIBS")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  add_executable(${name} ${sources})
  set_target_properties(${name} PROPERTIES UNITY_BUILD "${WEFT_UNITY}")
  target_link_libraries(${name} PRIVATE weft_flags ${ARG_LIBS})
  foreach(used IN LISTS ARG_USES)
    target_link_libraries(${name} PRIVATE weft_${used})
  endforeach()
  add_dependencies(weft_programs ${name})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
endfunction()
