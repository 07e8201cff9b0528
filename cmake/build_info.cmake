# Writes OUTPUT (carina_build_info.h), only when something changed. Run at every build:
#   cmake -DOUTPUT=... -DSOURCE=... -DTYPE=... -DCOMPILER=... -DLIBRARIES="name=version,..." -P build_info.cmake
set(commit unknown)
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE hash OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(commit ${hash})
    execute_process(COMMAND ${GIT} -C ${SOURCE} status --porcelain --untracked-files=no
                    OUTPUT_VARIABLE changes ERROR_QUIET)
    if(changes)
      string(APPEND commit "+")
    endif()
  endif()
endif()
set(text "#define CARINA_BUILD_COMMIT \"${commit}\"\n#define CARINA_BUILD_TYPE \"${TYPE}\"\n")
string(APPEND text "#define CARINA_BUILD_COMPILER \"${COMPILER}\"\n#define CARINA_BUILD_LIBRARIES \\\n")
string(REPLACE "," ";" libraries "${LIBRARIES}")
foreach(entry ${libraries})
  string(REPLACE "=" ";" pair ${entry})
  list(GET pair 0 name)
  list(GET pair 1 version)
  string(APPEND text "    {\"${name}\", \"${version}\"}, \\\n")
endforeach()
string(APPEND text "\n")
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "${text}" @ONLY) # leaves an equal file alone
