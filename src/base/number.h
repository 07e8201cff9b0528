/* Numbers as text, the same in every locale: files are written with '.' whatever the host program has set.
 *
 * Formatting gives the shortest decimal that reads back to the same value, so that files are stable and readable.
 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#define NUMBER_TEXT 32 /* room for any formatted number and its NUL */

/* The whole text must be a decimal number ("-1.5e3", ".5"); blanks, hexadecimal, NaN, infinities and values past the
 * range of a double are refused (false, *out untouched). */
bool number_parse(const char *text, double *out);

/* The whole text must be a decimal integer that fits. */
bool number_parse_integer(const char *text, int64_t *out);

/* Length without the NUL. Not finite: "nan", "inf", "-inf". */
int number_format(char out[NUMBER_TEXT], double value);
int number_format_f32(char out[NUMBER_TEXT], float value); /* shortest that reads back to the same float */

#endif
