cmake_minimum_required(VERSION 3.25)
# Stages the built libraries in a fresh prefix, moves the prefix (an installed package must not remember where it was
# built), configures and builds the consumer against it, and runs the consumer.
file(REMOVE_RECURSE ${WORK_DIR}/staged ${WORK_DIR}/prefix ${WORK_DIR}/consumer)

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${what} failed (${result}):\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run("cmake --install" ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/staged --component development)
file(RENAME ${WORK_DIR}/staged ${WORK_DIR}/prefix)

file(GLOB_RECURSE package_files ${WORK_DIR}/prefix/*.cmake)
foreach(package_file IN LISTS package_files)
  file(READ ${package_file} text)
  foreach(forbidden weft_flags -Werror ${WORK_DIR}/staged ${BUILD_DIR})
    string(FIND "${text}" "${forbidden}" place)
    if(NOT place EQUAL -1)
      message(FATAL_ERROR "${package_file} mentions ${forbidden}")
    endif()
  endforeach()
endforeach()

run("configuring the consumer" ${CMAKE_COMMAND} -S ${CONSUMER_DIR} -B ${WORK_DIR}/consumer -G ${GENERATOR}
  -D CMAKE_BUILD_TYPE=Debug -D CMAKE_CXX_COMPILER=${COMPILER} -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}
  -D CMAKE_PREFIX_PATH=${WORK_DIR}/prefix)
run("building the consumer" ${CMAKE_COMMAND} --build ${WORK_DIR}/consumer)
run("the consumer" ${WORK_DIR}/consumer/consumer)
message(STATUS "${output}")
