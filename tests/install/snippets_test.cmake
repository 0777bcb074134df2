cmake_minimum_required(VERSION 3.25)
# Extracts the whole programs of the documentation, builds them against the package alone, and runs each: as it is, or,
# where it has a command line, with --describe.
file(REMOVE_RECURSE ${WORK_DIR})

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors TIMEOUT 60)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${what} failed (${result}):\n${output}${errors}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(build what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${what} failed (${result}):\n${output}")
  endif()
endfunction()

run("extracting" ${PYTHON} ${SNIPPETS_DIR}/../snippets.py ${SOURCE_DIR} ${WORK_DIR}/sources)
separate_arguments(names UNIX_COMMAND "${output}")
run("cmake --install" ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/prefix --component development)
run("configuring" ${CMAKE_COMMAND} -S ${SNIPPETS_DIR} -B ${WORK_DIR}/build -G ${GENERATOR}
  -D SNIPPETS=${WORK_DIR}/sources -D CMAKE_BUILD_TYPE=Debug -D CMAKE_CXX_COMPILER=${COMPILER}
  -D CMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -D CMAKE_PREFIX_PATH=${WORK_DIR}/prefix)
build("building" ${CMAKE_COMMAND} --build ${WORK_DIR}/build)
foreach(name IN LISTS names)
  file(READ ${WORK_DIR}/sources/${name}.cpp text)
  set(arguments)
  if(text MATCHES "argv")
    set(arguments --describe)
  endif()
  run(${name} ${WORK_DIR}/build/${name} ${arguments})
  message(STATUS "${name}: ${output}")
endforeach()
