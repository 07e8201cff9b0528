# The shared library, and what `make install` puts where.
include(GNUInstallDirs)

# Everything of the core, but only the CARINA_API names are seen from outside.
add_library(carina_shared SHARED cmake/empty.c)
set_target_properties(carina_shared PROPERTIES OUTPUT_NAME carina VERSION ${PROJECT_VERSION} SOVERSION 0
  LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/libcarina.map)
target_link_libraries(carina_shared PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,carina_core>")
target_link_options(carina_shared PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/libcarina.map
  $<$<NOT:$<BOOL:${CARINA_SANITIZE}>>:-Wl,--no-undefined>)

file(RELATIVE_PATH pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" pc_to_prefix ${pc_to_prefix})
configure_file(cmake/carina.pc.in ${CMAKE_BINARY_DIR}/carina.pc @ONLY)

install(TARGETS carina_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/carina DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/carina.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/carina OPTIONAL)
install(FILES README.md LICENSE NOTICE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(TARGETS carina RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Completions and the manual page come from the program itself.
set(made ${CMAKE_BINARY_DIR}/generated/share)
add_custom_command(OUTPUT ${made}/carina.1 ${made}/carina.bash ${made}/carina.fish ${made}/_carina
  COMMAND ${CMAKE_COMMAND} -E make_directory ${made}
  COMMAND carina help --man > ${made}/carina.1
  COMMAND carina completion bash > ${made}/carina.bash
  COMMAND carina completion fish > ${made}/carina.fish
  COMMAND carina completion zsh > ${made}/_carina
  DEPENDS carina VERBATIM)
add_custom_target(carina_share ALL DEPENDS ${made}/carina.1)
install(FILES ${made}/carina.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${made}/carina.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME carina)
install(FILES ${made}/carina.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${made}/_carina DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
