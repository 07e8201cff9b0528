/* For tests that keep a `static carina_error error`: what is called must succeed, and its own words say why it did not.
 * To be included behind cmocka.h. */
#ifndef ASSERT_OK_H
#define ASSERT_OK_H

#define assert_ok(expression)                                                          \
    do {                                                                               \
        if ((expression) != CARINA_OK) fail_msg("%s: %s", #expression, error.message); \
    } while (0)

#endif
