/* The generated facts of build.h; the only file that is compiled anew with every commit. */
#include "base/build.h"

#include <stddef.h>

#include "carina_build_info.h" /* generated */

const char *build_version(void) { return CARINA_VERSION; }
const char *build_commit(void) { return CARINA_BUILD_COMMIT; }
const char *build_type(void) { return CARINA_BUILD_TYPE; }
const char *build_compiler(void) { return CARINA_BUILD_COMPILER; }

static const build_library libraries[] = {CARINA_BUILD_LIBRARIES};

const build_library *build_library_at(int index) {
    int count = (int)(sizeof libraries / sizeof libraries[0]);
    return index >= 0 && index < count ? &libraries[index] : NULL;
}
