# How tests are declared: weft_tests for doctest executables, weft_system_test for scripts that run real programs,
# weft_fuzz for libFuzzer targets. All run side by side; each has a time limit and labels (`ctest -L core`).

# Debian's own interpreter first: the modules that the tests use are Debian packages, which another one does not see.
find_program(WEFT_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(NOT WEFT_PYTHON)
  find_program(WEFT_PYTHON NAMES python3 REQUIRED)
endif()
mark_as_advanced(WEFT_PYTHON)

# Real data sets. Tests that want them skip, and say so, where the folder does not exist.
if(DEFINED ENV{WEFT_DATA_DIR})
  set(weft_data_default $ENV{WEFT_DATA_DIR})
else()
  cmake_path(ABSOLUTE_PATH PROJECT_SOURCE_DIR OUTPUT_VARIABLE weft_data_default)
  cmake_path(APPEND weft_data_default "../shared/data")
  cmake_path(NORMAL_PATH weft_data_default)
endif()
set(WEFT_DATA_DIR ${weft_data_default} CACHE PATH "Folder of the data sets that tests read when it exists")

# Sanitized programs are several times slower, and so are their time limits.
set(weft_timeout_factor 1)
if(WEFT_SANITIZE OR WEFT_FUZZ)
  set(weft_timeout_factor 3)
endif()

set(WEFT_TEST_ENVIRONMENT
  WEFT_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
  WEFT_SOURCE_DIR=${PROJECT_SOURCE_DIR}
  WEFT_DATA_DIR=${WEFT_DATA_DIR}
  PYTHONDONTWRITEBYTECODE=1
  PYTHONUNBUFFERED=1)
if(WEFT_SANITIZE MATCHES thread)
  list(APPEND WEFT_TEST_ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/tsan.supp:halt_on_error=1:second_deadlock_stack=1")
elseif(WEFT_SANITIZE MATCHES address)
  list(APPEND WEFT_TEST_ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1"
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1")
endif()
# A build folder that is measured by a sanitizer says so to the scripts, e.g. to move fewer records.
if(WEFT_SANITIZE)
  list(APPEND WEFT_TEST_ENVIRONMENT WEFT_SANITIZE=${WEFT_SANITIZE})
endif()

# weft_tests(<layer> [LIBS target...]): the executable <layer>_tests from tests/<layer>/*.cpp, and one ctest entry
# "<layer>: <sentence>" for each test case. Cases inside TEST_SUITE("slow") get that label as well.
function(weft_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "LIBS")
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  set(target ${name}_tests)
  add_executable(${target} ${sources})
  set_target_properties(${target} PROPERTIES UNITY_BUILD "${WEFT_UNITY}")
  target_link_libraries(${target} PRIVATE weft_flags weft_test_main ${ARG_LIBS})
  if(TARGET weft_${name})
    target_link_libraries(${target} PRIVATE weft_${name})
  endif()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  # A test's own code runs once: under a sanitizer, optimising it takes twice its compilation and is never earned back.
  # What it tests is in the layers' libraries, which are built as the preset says.
  if(WEFT_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  else()
    target_compile_options(${target} PRIVATE -O1)
  endif()
  weft_discover_cases(${target} ${name})
endfunction()

# Lists the cases of a doctest executable after it is linked, in one run, and writes them down for ctest.
function(weft_discover_cases target layer)
  set(list_file ${CMAKE_CURRENT_BINARY_DIR}/${target}_cases.cmake)
  set(include_file ${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake)
  math(EXPR timeout "60 * ${weft_timeout_factor}")
  add_custom_command(TARGET ${target} POST_BUILD
    BYPRODUCTS ${list_file}
    COMMAND ${CMAKE_COMMAND}
      -D "EXECUTABLE=$<TARGET_FILE:${target}>" -D "LAYER=${layer}" -D "TIMEOUT=${timeout}"
      -D "ENVIRONMENT=${WEFT_TEST_ENVIRONMENT}" -D "OUTPUT=${list_file}"
      -P ${PROJECT_SOURCE_DIR}/cmake/WeftDiscoverCases.cmake
    COMMENT "" VERBATIM)
  file(WRITE ${include_file}
    "if(EXISTS \"${list_file}\")\n  include(\"${list_file}\")\n"
    "else()\n  add_test(\"${layer}: the tests are built\" ${target}-is-not-built)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include_file})
endfunction()

# weft_system_test(NAME <sentence> COMMAND <script> [argument...] [TIMEOUT seconds] [LABELS label...] [PROCESSORS n]
#                  [SERIAL])
# Runs a script (.py with Debian's python3, .sh with bash; relative to the calling folder) in a folder of its
# own, with WEFT_BIN_DIR, WEFT_SOURCE_DIR and WEFT_DATA_DIR in the environment. Exit code 77 means skipped: the script
# prints why. PROCESSORS keeps other tests off that many cores; SERIAL keeps all others away.
function(weft_system_test)
  cmake_parse_arguments(PARSE_ARGV 0 ARG "SERIAL" "NAME;TIMEOUT;PROCESSORS" "COMMAND;LABELS")
  if(NOT ARG_NAME OR NOT ARG_COMMAND OR ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "weft_system_test needs NAME and COMMAND; unknown: '${ARG_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(NOT ARG_PROCESSORS)
    set(ARG_PROCESSORS 1)
  endif()
  math(EXPR timeout "${ARG_TIMEOUT} * ${weft_timeout_factor}")

  list(POP_FRONT ARG_COMMAND script)
  cmake_path(ABSOLUTE_PATH script BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set(interpreter "")
  if(script MATCHES "\\.py$")
    set(interpreter ${WEFT_PYTHON})
  elseif(script MATCHES "\\.sh$")
    set(interpreter bash)
  endif()
  string(REGEX REPLACE "[^A-Za-z0-9]+" "-" folder "${ARG_NAME}")
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${folder})
  file(MAKE_DIRECTORY ${folder})

  add_test(NAME "system: ${ARG_NAME}" COMMAND ${interpreter} ${script} ${ARG_COMMAND} WORKING_DIRECTORY ${folder})
  set_tests_properties("system: ${ARG_NAME}" PROPERTIES
    ENVIRONMENT "${WEFT_TEST_ENVIRONMENT}" TIMEOUT ${timeout} LABELS "system;${ARG_LABELS}"
    SKIP_RETURN_CODE 77 PROCESSORS ${ARG_PROCESSORS})
  if(ARG_SERIAL)
    set_tests_properties("system: ${ARG_NAME}" PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# weft_fuzz(<name> USES layer...): the libFuzzer target <name> from tests/fuzz/<name>.cpp, and a smoke test that runs it
# over its corpus in tests/fuzz/corpus/<short name>/ (the name without _fuzz) and then WEFT_FUZZ_SECONDS longer. What
# the run finds stays in the build folder.
set(WEFT_FUZZ_SECONDS 10 CACHE STRING "Seconds that each fuzz smoke test runs")
function(weft_fuzz name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "USES")
  add_executable(${name} ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cpp)
  target_link_libraries(${name} PRIVATE weft_flags)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  foreach(used IN LISTS ARG_USES)
    target_link_libraries(${name} PRIVATE weft_${used})
  endforeach()

  string(REGEX REPLACE "_fuzz$" "" short ${name})
  set(work ${CMAKE_CURRENT_BINARY_DIR}/${short})
  file(MAKE_DIRECTORY ${work}/found ${work}/crashes)
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${short})
  if(NOT IS_DIRECTORY ${corpus})
    message(FATAL_ERROR "weft_fuzz(${name}): no corpus in ${corpus}")
  endif()
  math(EXPR timeout "${WEFT_FUZZ_SECONDS} + 120")
  add_test(NAME "fuzz: ${short} takes its corpus and ${WEFT_FUZZ_SECONDS} s of new input"
    COMMAND ${name} -max_total_time=${WEFT_FUZZ_SECONDS} -max_len=65536 -rss_limit_mb=2048 -timeout=10
            -artifact_prefix=${work}/crashes/ -print_final_stats=1 ${work}/found ${corpus})
  set_tests_properties("fuzz: ${short} takes its corpus and ${WEFT_FUZZ_SECONDS} s of new input" PROPERTIES
    TIMEOUT ${timeout} LABELS fuzz ENVIRONMENT "${WEFT_TEST_ENVIRONMENT}")
endfunction()
