/* What this build of Carina is: for `carina --version`, and for the provenance that checkpoints and results carry.
 * The strings are made by cmake/build_info.cmake while building. */
#ifndef BASE_BUILD_H
#define BASE_BUILD_H

const char *build_version(void);  /* "0.1.0" */
const char *build_commit(void);   /* 12 hex digits, "+" behind them when the tree was changed; "unknown" outside git */
const char *build_type(void);     /* "Release", "Debug", with "+sanitize" when the sanitizers are on */
const char *build_compiler(void); /* "GNU 12.2.0" */

/* The libraries it was built with. */
typedef struct build_library {
    const char *name, *version;
} build_library;
const build_library *build_library_at(int index); /* NULL past the last */

#endif
