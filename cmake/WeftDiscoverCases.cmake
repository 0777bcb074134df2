# Run after a doctest executable is linked: writes OUTPUT, a ctest file with one test for each case of EXECUTABLE.
# doctest's own script starts the program once more for each case to learn its suite, and loses labels and names with
# semicolons; the XML list has all of it in one run.
cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND ${EXECUTABLE} --list-test-cases --reporters=xml
  OUTPUT_VARIABLE listing RESULT_VARIABLE result TIMEOUT 60)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${EXECUTABLE} could not list its test cases (${result}):\n${listing}")
endif()

function(unescape variable)
  set(text "${${variable}}")
  string(REPLACE "&lt;" "<" text "${text}")
  string(REPLACE "&gt;" ">" text "${text}")
  string(REPLACE "&quot;" "\"" text "${text}")
  string(REPLACE "&amp;" "&" text "${text}")
  set(${variable} "${text}" PARENT_SCOPE)
endfunction()

# Semicolons and brackets would split or glue CMake lists, so they travel as control characters.
string(ASCII 1 semicolon)
string(ASCII 2 opening)
string(ASCII 3 closing)
string(REPLACE ";" "${semicolon}" listing "${listing}")
string(REPLACE "[" "${opening}" listing "${listing}")
string(REPLACE "]" "${closing}" listing "${listing}")
string(REGEX MATCHALL "<TestCase [^\n]*" cases "${listing}")
set(script "")
foreach(entry IN LISTS cases)
  string(REPLACE "${semicolon}" ";" entry "${entry}")
  string(REPLACE "${opening}" "[" entry "${entry}")
  string(REPLACE "${closing}" "]" entry "${entry}")
  if(entry MATCHES "skipped=\"true\"")
    continue()
  endif()
  string(REGEX MATCH " name=\"([^\"]*)\"" ignored "${entry}")
  set(case "${CMAKE_MATCH_1}")
  set(labels ${LAYER})
  if(entry MATCHES " testsuite=\"([^\"]+)\"")
    list(APPEND labels "${CMAKE_MATCH_1}")
  endif()
  unescape(case)
  # A comma parts two filters, a backslash escapes.
  string(REPLACE "\\" "\\\\" filter "${case}")
  string(REPLACE "," "\\," filter "${filter}")
  string(APPEND script
    "add_test([=====[${LAYER}: ${case}]=====] [=====[${EXECUTABLE}]=====] [=====[--test-case=${filter}]=====])\n"
    "set_tests_properties([=====[${LAYER}: ${case}]=====] PROPERTIES TIMEOUT ${TIMEOUT} LABELS [=====[${labels}]=====]\n"
    # A filter that no longer matches would pass by running nothing.
    "  FAIL_REGULAR_EXPRESSION [=====[test cases: +0 ]=====] SKIP_REGULAR_EXPRESSION [=====[MESSAGE: [Ss]kipped:]=====]\n"
    "  ENVIRONMENT [=====[${ENVIRONMENT}]=====])\n")
endforeach()
file(WRITE ${OUTPUT} "${script}")
